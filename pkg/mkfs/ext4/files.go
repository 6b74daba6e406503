package ext4

import (
	"cmp"
	"slices"
)

const (
	// maxExtent is the longest extent of a file, in blocks.
	maxExtent = 32768
	// inInode is how many extents fit into an inode.
	inInode = 4
	// lostFoundBytes is the size of lost+found, so that e2fsck need not allocate; at most lostFoundBlocks.
	lostFoundBytes  = 16 << 10
	lostFoundBlocks = 12
)

// placeFiles finds a place for what belongs to an inode: for the journal in the middle of the device, for the rest in the first free
// blocks.
func (l *layout) placeFiles() {
	l.root = l.find(1)
	l.lostFound = l.find(min(lostFoundBytes/l.blockSize, lostFoundBlocks))
	if l.reserved > 0 {
		l.resizeMap = l.find(1).start
	}
	if l.journal = l.findJournal(l.journalLen()); len(l.journal) > inInode {
		l.journal = nil
		l.journalMap = l.find(1).start
		l.journal = l.findJournal(l.journalLen())
	}
}

// find returns the first count free blocks in a row. There are some within the first groups: they are few.
func (l *layout) find(count uint64) extent {
	for group := uint64(0); ; group++ {
		for _, e := range l.gaps(group) {
			if e.count >= count {
				return extent{e.start, count}
			}
		}
	}
}

// journalLen is the journal's length, in blocks.
func (l *layout) journalLen() uint64 {
	steps := []struct{ blocks, journal uint64 }{
		{32 << 10, 1024}, {256 << 10, 4096}, {512 << 10, 8192}, {4096 << 10, 16384},
		{8192 << 10, 32768}, {16384 << 10, 65536}, {32768 << 10, 131072},
	}
	for _, s := range steps {
		if l.blocks < s.blocks {
			return s.journal
		}
	}
	return 262144
}

// findJournal returns free runs of count blocks in all, from the middle of the device on, and from its beginning when the end is
// reached.
func (l *layout) findJournal(count uint64) []extent {
	var found []extent
	first := l.journalGroup()
	for n := uint64(0); n < l.groups && count > 0; n++ {
		for _, e := range l.gaps((first + n) % l.groups) {
			e.count = min(e.count, count)
			count -= e.count
			found = append(found, e)
		}
	}
	return join(found)
}

// journalGroup is where mkfs.ext4 has the journal begin: of a small device, in the emptiest of the three groups in the middle; of a
// larger one, in the emptier of the first two of the flexible group in the middle.
func (l *layout) journalGroup() uint64 {
	first := (l.blocks - l.firstBlock) / 2 / l.perGroup
	last := min(first+1, l.groups-1)
	if first > flex {
		first = first / flex * flex
		last = first + 1
	} else if first > 0 {
		first--
	}
	best := first
	for group := first; group <= last; group++ {
		if l.bundle(group).free(group) > l.bundle(best).free(best) {
			best = group
		}
	}
	return best
}

// gaps are the free runs of a group, in order.
func (l *layout) gaps(group uint64) []extent {
	used := l.bundle(group).used(group)
	slices.SortFunc(used, func(a, b extent) int { return cmp.Compare(a.start, b.start) })
	whole := l.group(group)
	used = append(used, extent{whole.end(), 0})
	var gaps []extent
	next := whole.start
	for _, e := range used {
		if e.start > next {
			gaps = append(gaps, extent{next, e.start - next})
		}
		next = e.end()
	}
	return gaps
}

// join makes one of runs that follow each other, up to maxExtent.
func join(runs []extent) []extent {
	var joined []extent
	for _, r := range runs {
		if n := len(joined); n > 0 && joined[n-1].end() == r.start {
			joined[n-1].count += r.count
		} else {
			joined = append(joined, r)
		}
	}
	var cut []extent
	for _, r := range joined {
		for r.count > 0 {
			n := min(r.count, maxExtent)
			cut = append(cut, extent{r.start, n})
			r = extent{r.start + n, r.count - n}
		}
	}
	return cut
}
