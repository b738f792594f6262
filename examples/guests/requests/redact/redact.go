// Redact replaces what should not be in a log: addresses, card numbers, keys, and the names of a list. The patterns are
// compiled, and the names read, once.
//
// Its exports are those of ../request.h. Natively it is a program that redacts standard input.
package main

import (
	"fmt"
	"hash/fnv"
	"regexp"
	"strings"
)

type rule struct {
	pattern *regexp.Regexp
	with    string
}

var (
	rules []rule
	names map[string]string
	word  *regexp.Regexp
)

func prepare() {
	for _, it := range [][2]string{
		{`[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}`, "[mail]"},
		{`\b(?:\d[ -]?){13,16}\b`, "[card]"},
		{`\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}\b`, "[iban]"},
		{`\b(?:\d{1,3}\.){3}\d{1,3}\b`, "[ip]"},
		{`(?i)\b(?:password|token|secret)\s*[=:]\s*\S+`, "[secret]"},
	} {
		rules = append(rules, rule{regexp.MustCompile(it[0]), it[1]})
	}
	word = regexp.MustCompile(`[A-Z][a-z]+`)
	names = make(map[string]string)
	for i := 0; i < 20000; i++ {
		h := fnv.New64a()
		fmt.Fprintf(h, "person %d", i)
		name := strings.ToUpper(string(rune('a'+i%26))) + letters(h.Sum64())
		names[name] = fmt.Sprintf("[name %d]", i)
	}
	names["Alice"], names["Bob"] = "[name a]", "[name b]"
}

func letters(n uint64) string {
	text := make([]byte, 7)
	for i := range text {
		text[i] = byte('a' + n%26)
		n /= 26
	}
	return string(text)
}

func redact(text string) string {
	for _, it := range rules {
		text = it.pattern.ReplaceAllString(text, it.with)
	}
	return word.ReplaceAllStringFunc(text, func(found string) string {
		if with, known := names[found]; known {
			return with
		}
		return found
	})
}
