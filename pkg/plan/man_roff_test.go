package plan_test

import (
	"fmt"
	"regexp"
	"strings"
)

// roff escapes a text for groff and mandoc: neither reads UTF-8 everywhere, a minus that is typed is no hyphen, and a line that begins
// with a full stop or a quote would be a request.
func roff(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\\':
			b.WriteString(`\e`)
		case r == '-':
			b.WriteString(`\-`)
		case r == '^':
			b.WriteString(`\(ha`)
		case r == '~':
			b.WriteString(`\(ti`)
		case r == '`':
			b.WriteString(`\(ga`)
		case r == '\'':
			b.WriteString(`\(aq`)
		case r == '…':
			b.WriteString("...") // which every locale has
		case r > '~':
			fmt.Fprintf(&b, `\[u%04X]`, r)
		default:
			b.WriteRune(r)
		}
	}
	if s := b.String(); strings.HasPrefix(s, ".") {
		return `\&` + s
	}
	return b.String()
}

// Pieces of a line of Markdown: code, emphasis, a link, of which the text stays.
var (
	piece       = regexp.MustCompile("`[^`]+`|\\*\\*?[^*]+\\*\\*?|\\[[^]]+\\]\\([^)]+\\)")
	placeholder = regexp.MustCompile(`<[^>]+>`)
)

// inline is a line of Markdown: code in bold, with placeholders in italics, and emphasis in italics.
func inline(s string) string {
	s = strings.NewReplacer(`\|`, "|", "&lt;", "<", "&gt;", ">").Replace(s)
	var b strings.Builder
	for s != "" {
		at := piece.FindStringIndex(s)
		if at == nil {
			b.WriteString(roff(s))
			break
		}
		b.WriteString(roff(s[:at[0]]))
		switch match := s[at[0]:at[1]]; match[0] {
		case '`':
			b.WriteString(code(match[1 : len(match)-1]))
		case '[':
			label, _, _ := strings.Cut(match[1:], "]")
			b.WriteString(roff(label))
		default:
			b.WriteString(`\fI` + roff(strings.Trim(match, "*")) + `\fR`)
		}
		s = s[at[1]:]
	}
	return b.String()
}

// code is what a person types: bold, and in italics what stands for something else.
func code(s string) string {
	var b strings.Builder
	for s != "" {
		at := placeholder.FindStringIndex(s)
		if at == nil {
			at = []int{len(s), len(s)}
		}
		if at[0] > 0 {
			b.WriteString(`\fB` + roff(s[:at[0]]) + `\fR`)
		}
		if at[0] < at[1] {
			b.WriteString(`\fI` + roff(strings.Trim(s[at[0]:at[1]], "<>")) + `\fR`)
		}
		s = s[at[1]:]
	}
	return b.String()
}

// markdown is a section of the README for the manual: paragraphs, tables, and code in blocks.
func markdown(s string) string {
	var b strings.Builder
	paragraph := "" // the first follows a heading
	for block := range strings.SplitSeq(strings.TrimSpace(s), "\n\n") {
		lines := strings.Split(strings.TrimSpace(block), "\n")
		switch {
		case strings.HasPrefix(lines[0], "|"):
			b.WriteString(definitions(lines[2:]))
		case strings.HasPrefix(lines[0], "```"):
			b.WriteString(paragraph + ".nf\n.RS 4\n")
			for _, line := range lines[1 : len(lines)-1] {
				b.WriteString(roff(line) + "\n")
			}
			b.WriteString(".RE\n.fi\n")
		default:
			b.WriteString(paragraph + sentences(inline(strings.Join(lines, " "))))
		}
		paragraph = ".PP\n"
	}
	return b.String()
}

// definitions are the rows of a table: the first cell hangs, the others follow it.
func definitions(rows []string) string {
	var b strings.Builder
	for _, row := range rows {
		cells := strings.Split(strings.ReplaceAll(strings.Trim(row, "| "), `\|`, "\x00"), " | ")
		for i, cell := range cells {
			cells[i] = inline(strings.ReplaceAll(strings.TrimSpace(cell), "\x00", "|"))
		}
		b.WriteString(".TP\n" + cells[0] + "\n" + sentences(strings.Join(cells[1:], " ")))
	}
	return b.String()
}

var sentenceEnd = regexp.MustCompile(`([.;:?]) ([A-Z])`)

// lineLength is the longest line of source, in bytes, that mandoc finds good style.
const lineLength = 80

// sentences begins each sentence on a line of its own, where roff puts the space that belongs there, and breaks long ones.
func sentences(s string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(sentenceEnd.ReplaceAllString(s, "$1\n$2"), "\n") {
		length := 0
		for word := range strings.FieldsSeq(line) {
			switch {
			case length == 0:
			case length+1+len(word) > lineLength:
				b.WriteString("\n")
				length = 0
			default:
				b.WriteString(" ")
				length++
			}
			if length == 0 && strings.HasPrefix(word, ".") {
				word = `\&` + word
			}
			b.WriteString(word)
			length += len(word)
		}
		b.WriteString("\n")
	}
	return b.String()
}
