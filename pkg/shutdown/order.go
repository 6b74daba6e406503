package shutdown

// Order returns those of all that have to go, each before the one that it is attached to, and of two that have nothing to do with each
// other the later one first. The lines of mountinfo are not in the order of the tree: whoever moves a mount, as every switch of the
// root does, leaves it in front of its new parent.
func Order(all []Mount) []Mount {
	depths, deepest := depths(all)
	var ordered []Mount
	for d := deepest; d >= 0; d-- {
		for i := len(all) - 1; i >= 0; i-- {
			if depths[i] == d && !stays(all[i].Point) {
				ordered = append(ordered, all[i])
			}
		}
	}
	return ordered
}

// depths counts the mounts above each. The list may be torn, as it is read while mounts change: no walk is longer than it.
func depths(all []Mount) (depths []int, deepest int) {
	const none = -1
	parents := make([]int, len(all))
	for i := range all {
		parents[i] = none
		for j := range all {
			if all[j].ID == all[i].Parent && j != i {
				parents[i] = j
				break
			}
		}
	}
	depths = make([]int, len(all))
	for i := range all {
		for p := parents[i]; p != none && depths[i] < len(all); p = parents[p] {
			depths[i]++
		}
		deepest = max(deepest, depths[i])
	}
	return depths, deepest
}

// stays says whether a mount is one of those that the program itself lives in: the root, which is the folder /run/initramfs, and what
// systemd binds into it. They are in memory only.
func stays(point string) bool {
	switch point {
	case "/", "/run":
		return true
	}
	for _, kernels := range []string{"/dev", "/proc", "/sys"} {
		if point == kernels || len(point) > len(kernels) && point[:len(kernels)+1] == kernels+"/" {
			return true
		}
	}
	return false
}
