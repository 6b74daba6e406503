package bootmenu

import (
	"slices"
	"strings"
)

// command is one command of GRUB's language, not expanded, with the block in braces behind it.
type command struct {
	words []word
	body  []command
	// either says that "||" is in front of it.
	either bool
}

// word is a row of pieces, of which some are to be expanded.
type word []piece

type piece struct {
	text string
	// literal is not expanded; quoted, what it expands to is not split.
	literal, quoted bool
}

// keyword is the first word as it is written.
func (c command) keyword() string {
	if len(c.words) == 0 || len(c.words[0]) != 1 || c.words[0][0].quoted {
		return ""
	}
	return c.words[0][0].text
}

// parseGrub cuts a configuration into commands. What is not closed ends with the text.
func parseGrub(text string) []command {
	p := &parser{text: text}
	all := p.commands(0)
	for p.at < len(p.text) { // behind a brace too many
		p.at++
		all = append(all, p.commands(0)...)
	}
	return all
}

type parser struct {
	text string
	at   int
}

// commands reads up to a closing brace.
func (p *parser) commands(depth int) (all []command) {
	var current command
	flush := func() {
		if len(current.words) > 0 {
			all = append(all, current)
		}
		current = command{}
	}
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == ' ' || c == '\t' || c == '\r':
			p.at++
		case c == '\n' || c == ';' || c == '&' || c == '|':
			p.at++
			flush()
			current.either = c == '|'
		case c == '#':
			if end := strings.IndexByte(p.text[p.at:], '\n'); end >= 0 {
				p.at += end
			} else {
				p.at = len(p.text)
			}
		case c == '{' && depth < 2*maxDepth:
			p.at++
			current.body = p.commands(depth + 1)
			if p.at < len(p.text) {
				p.at++ // the closing brace
			}
			flush()
		case c == '}' || c == '{':
			if c == '}' {
				flush()
				return all
			}
			p.at++
		default:
			current.words = append(current.words, p.word())
			// What is behind "then", "else" and "do" is a command of its own.
			if k := current.keyword(); len(current.words) == 1 && (k == "then" || k == "else" || k == "do") {
				flush()
			}
		}
	}
	flush()
	return all
}

// word reads up to a blank or a special character outside of quotes. A backslash takes the next character as it is; in double quotes only
// one that would be special there.
func (p *parser) word() (w word) {
	var plain strings.Builder
	flush := func() {
		if plain.Len() > 0 {
			w = append(w, piece{text: plain.String()})
			plain.Reset()
		}
	}
	for p.at < len(p.text) {
		c := p.text[p.at]
		switch {
		case strings.IndexByte(" \t\r\n;{}&|", c) >= 0 && !(c == '{' && strings.HasSuffix(plain.String(), "$")) && !(c == '}' && openBrace(plain.String())):
			flush()
			return w
		case c == '\'':
			flush()
			w = append(w, piece{text: p.until('\''), literal: true, quoted: true})
		case c == '"':
			flush()
			w = append(w, p.doubleQuoted()...)
		case c == '\\' && p.at+1 < len(p.text):
			flush()
			if p.text[p.at+1] != '\n' {
				w = append(w, piece{text: p.text[p.at+1 : p.at+2], literal: true})
			}
			p.at += 2
		default:
			plain.WriteByte(c)
			p.at++
		}
	}
	flush()
	return w
}

// openBrace says whether "${" is not closed yet.
func openBrace(s string) bool { return strings.LastIndex(s, "${") > strings.LastIndexByte(s, '}') }

// until reads what is between quotes.
func (p *parser) until(quote byte) string {
	p.at++
	rest := p.text[p.at:]
	end := strings.IndexByte(rest, quote)
	if end < 0 {
		p.at = len(p.text)
		return rest
	}
	p.at += end + 1
	return rest[:end]
}

func (p *parser) doubleQuoted() (w word) {
	p.at++
	var plain strings.Builder
	flush := func() {
		w = append(w, piece{text: plain.String(), quoted: true})
		plain.Reset()
	}
	for p.at < len(p.text) {
		c := p.text[p.at]
		p.at++
		switch {
		case c == '"':
			flush()
			return w
		case c == '\\' && p.at < len(p.text) && strings.IndexByte(`"$\`, p.text[p.at]) >= 0:
			flush()
			w = append(w, piece{text: p.text[p.at : p.at+1], literal: true, quoted: true})
			p.at++
		default:
			plain.WriteByte(c)
		}
	}
	flush()
	return w
}

// expandAll expands the words of a command. A variable outside of quotes may become several words, or none.
func (g *grub) expandAll(words []word) (all []string) {
	size := 0
	for _, w := range words {
		expanded := g.expand(w)
		for _, text := range expanded {
			if size += len(text); size > maxText {
				return all
			}
		}
		all = append(all, expanded...)
	}
	return all
}

func (g *grub) expand(w word) []string {
	parts, quoted := []string{""}, false
	last := &parts[0]
	for _, p := range w {
		quoted = quoted || p.quoted
		text := p.text
		if !p.literal {
			text = g.substitute(text)
		}
		if p.quoted || p.literal || text == p.text {
			*last += text
			continue
		}
		fields := strings.Fields(text)
		if text != "" && isBlank(text[0]) && *last != "" {
			parts = append(parts, "")
		}
		for k, f := range fields {
			if k > 0 {
				parts = append(parts, "")
			}
			parts[len(parts)-1] += f
		}
		last = &parts[len(parts)-1]
	}
	if !quoted {
		parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
	}
	return parts
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' }

// substitute puts the values of variables in place of $name and ${name}.
func (g *grub) substitute(text string) string {
	var b strings.Builder
	for b.Len() <= maxText {
		before, rest, found := strings.Cut(text, "$")
		b.WriteString(before)
		if !found {
			break
		}
		name, after := variableName(rest)
		if name == "" {
			b.WriteByte('$')
		}
		b.WriteString(g.variables[name])
		text = after
	}
	return b.String()
}

// variableName cuts the name of a variable off what is behind "$".
func variableName(s string) (name, rest string) {
	if strings.HasPrefix(s, "{") {
		name, rest, found := strings.Cut(s[1:], "}")
		if !found {
			return "", s
		}
		return name, rest
	}
	end := 0
	for end < len(s) && (s[end] == '_' || s[end] >= '0' && s[end] <= '9' || s[end] >= 'a' && s[end] <= 'z' || s[end] >= 'A' && s[end] <= 'Z') {
		end++
	}
	if end == 0 && s != "" && strings.IndexByte("?*@#", s[0]) >= 0 {
		end = 1
	}
	return s[:end], s[end:]
}
