package shutdown

// A Mount is a line of /proc/self/mountinfo (proc_pid_mountinfo(5)).
type Mount struct {
	// ID is the mount's own number, Parent that of the mount it is attached to.
	ID, Parent int
	// Point is where it is mounted, as the process sees it.
	Point string
	// Type is the file system's name, Source its device or what was given as such.
	Type, Source string
}

// ParseMountinfo reads the text of /proc/self/mountinfo. What is no line of it is left out.
func ParseMountinfo(text string) []Mount {
	var all []Mount
	for text != "" {
		var line string
		line, text, _ = cut(text, "\n")
		if m, ok := parseLine(line); ok {
			all = append(all, m)
		}
	}
	return all
}

// parseLine reads "ID parent device root point options [tags …] - type source options".
func parseLine(line string) (Mount, bool) {
	const before, behind = 6, 2 // fields that are always there, on either side of the hyphen
	front, back, ok := cut(line, " - ")
	var f [before]string
	var b [behind]string
	if !ok || !fields(front, f[:]) || !fields(back, b[:]) {
		return Mount{}, false
	}
	id, idOK := number(f[0])
	parent, parentOK := number(f[1])
	return Mount{ID: id, Parent: parent, Point: unescape(f[4]), Type: b[0], Source: unescape(b[1])}, idOK && parentOK && f[4] != ""
}

// fields fills into with the first words of line and says whether there are as many.
func fields(line string, into []string) bool {
	for i := range into {
		into[i], line, _ = cut(line, " ")
		if into[i] == "" {
			return false
		}
	}
	return true
}

// cut is strings.Cut.
func cut(s, separator string) (before, after string, found bool) {
	for i := 0; i+len(separator) <= len(s); i++ {
		if s[i:i+len(separator)] == separator {
			return s[:i], s[i+len(separator):], true
		}
	}
	return s, "", false
}

func number(s string) (int, bool) {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' || n > 1<<32 {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, s != ""
}

// unescape undoes the kernel's mangling: space, tab, line feed and backslash stand as three octal digits behind a backslash.
func unescape(s string) string {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && s[i+1] <= '3' && octal(s[i+1]) && octal(s[i+2]) && octal(s[i+3]) {
			out = append(out, (s[i+1]-'0')<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 3
			continue
		}
		out = append(out, s[i])
	}
	return string(out)
}

func octal(c byte) bool { return c >= '0' && c <= '7' }
