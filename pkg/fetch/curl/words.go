package curl

import (
	"errors"
	"strings"
)

// Words makes every comma a space, splits at white space, and takes quotes and backslashes away as a shell does (POSIX.1-2024,
// Shell Command Language, 2.2): nothing is special between single quotes, and between double quotes a backslash before $, `, ", or
// another one.
func Words(list string) ([]string, error) {
	var words []string
	var word strings.Builder
	begun := false
	text := strings.ReplaceAll(list, ",", " ")
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case ' ', '\t', '\n':
			if begun {
				words = append(words, word.String())
				word.Reset()
				begun = false
			}
			continue
		case '\'':
			n := strings.IndexByte(text[i+1:], '\'')
			if n < 0 {
				return nil, errors.New("a single quote has no end")
			}
			word.WriteString(text[i+1 : i+1+n])
			i += n + 1
		case '"':
			n, err := doubleQuoted(&word, text[i+1:])
			if err != nil {
				return nil, err
			}
			i += n + 1
		case '\\':
			if i++; i == len(text) {
				return nil, errors.New("a backslash has nothing behind it")
			}
			word.WriteByte(text[i])
		default:
			word.WriteByte(c)
		}
		begun = true
	}
	if begun {
		words = append(words, word.String())
	}
	return words, nil
}

// doubleQuoted writes what is between double quotes, and returns where the second one is.
func doubleQuoted(word *strings.Builder, text string) (end int, err error) {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return i, nil
		case c == '\\' && i+1 < len(text) && strings.IndexByte("$`\"\\", text[i+1]) >= 0:
			i++
			word.WriteByte(text[i])
		default:
			word.WriteByte(c)
		}
	}
	return 0, errors.New("a double quote has no end")
}
