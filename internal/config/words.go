package config

import (
	"fmt"
	"slices"
	"strings"
)

// mostWord is how much of what stands in a file is said again.
const mostWord = 60

func short(text string) string {
	if letters := []rune(text); len(letters) > mostWord {
		return string(letters[:mostWord]) + "…"
	}
	return text
}

// oneOf gives words as a sentence has them: a, b or c.
func oneOf(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// suggest gives the known word that was probably meant, or all of them.
func suggest(word string, known []string) string {
	best, away := "", 1+max(1, len(word)/3)
	for _, k := range known {
		if d := distance(strings.ToLower(word), k); d < away {
			best, away = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %s?", best)
	}
	return "; known here: " + strings.Join(known, ", ")
}

// distance is how many letters have to be changed, put in, left out or swapped
// with their neighbour to make one word of the other.
func distance(a, b string) int {
	if len(a) > mostWord {
		return len(a)
	}
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = slices.Min([]int{last[j] + cost, last[j+1] + 1, next[j] + 1})
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, last = last, next
	}
	return last[len(b)]
}
