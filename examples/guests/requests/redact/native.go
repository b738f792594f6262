//go:build !wasip1

package main

import (
	"io"
	"os"
)

func main() {
	prepare()
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString(redact(string(text)))
}
