package initramfs

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Debian and its relatives put the date of the source package into the
// description, everybody else the time of the compilation.
var (
	isoDate    = regexp.MustCompile(`\((\d{4}-\d{2}-\d{2})\)`)
	buildStamp = regexp.MustCompile(`[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} [A-Z]+ \d{4}`)
)

// buildDate is the date in a kernel's description; zero when it has none.
func buildDate(description string) time.Time {
	if m := isoDate.FindStringSubmatch(description); m != nil {
		if t, err := time.Parse(time.DateOnly, m[1]); err == nil {
			return t
		}
	}
	if t, err := time.Parse(time.UnixDate, buildStamp.FindString(description)); err == nil {
		return t.UTC()
	}
	return time.Time{}
}

// releaseNumber is the part of a release that has an order: 6.1.0-56 of
// 6.1.0-56-cloud-amd64. The rest is the flavour.
var releaseNumber = regexp.MustCompile(`^\d+(\.\d+)*(-rc\d+)?([-.+~]\d+(\.\d+)*\b)*`)

// compareReleases orders kernel releases by their numbers, so that 6.1.0-9
// is before 6.1.0-56, 6.10 behind both, and a release candidate before its
// release. Flavours of one version are equal.
func compareReleases(a, b string) int {
	x, y := releaseTokens(a), releaseTokens(b)
	return slices.CompareFunc(x, y, func(p, q string) int {
		if isDigit(p[0]) && isDigit(q[0]) {
			p, q = strings.TrimLeft(p, "0"), strings.TrimLeft(q, "0")
			return cmp.Or(cmp.Compare(len(p), len(q)), strings.Compare(p, q))
		}
		return strings.Compare(p, q)
	})
}

// releaseTokens splits the number into runs of digits and what is between
// them. The end of a version without "rc" is a token behind any "-rc".
func releaseTokens(release string) []string {
	number := releaseNumber.FindString(release)
	if !strings.Contains(number, "-rc") {
		main, rest, _ := strings.Cut(number, "-")
		number = main + "-release" + rest
	}
	var tokens []string
	for number != "" {
		n := strings.IndexFunc(number, func(r rune) bool { return isDigit(byte(r)) != isDigit(number[0]) })
		if n < 0 {
			n = len(number)
		}
		tokens, number = append(tokens, number[:n]), number[n:]
	}
	return tokens
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
