// Package spelling finds what a person meant to write.
package spelling

import "iter"

// Nearest returns the known word that differs least from word, by the number of letters to insert, delete or replace (Levenshtein's
// distance); of several the first. Without any known word it returns "".
func Nearest(word string, known iter.Seq[string]) string {
	best, least := "", -1
	for k := range known {
		if d := distance(word, k); least < 0 || d < least {
			best, least = k, d
		}
	}
	return best
}

func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
