package output

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable makes text that may be another host's safe for a terminal, and one line of it.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		return printableRune(r)
	}, text)
}

// printableRune replaces what could move the cursor, or reorder what stands beside it.
func printableRune(r rune) rune {
	if !unicode.IsPrint(r) {
		return unicode.ReplacementChar
	}
	return r
}

// Fprintf formats a line. What is filled in stays within that line, whoever wrote it.
func Fprintf(w io.Writer, format string, args ...any) (int, error) {
	return fmt.Fprintf(w, format, printableArgs(args)...)
}

// Fprintln is Fprintf of values with spaces in between.
func Fprintln(w io.Writer, args ...any) (int, error) {
	return fmt.Fprintln(w, printableArgs(args)...)
}

func printableArgs(args []any) []any {
	safe := make([]any, len(args))
	for i, a := range args {
		safe[i] = printableArg(a)
	}
	return safe
}

// printableArg leaves numbers as they are: they have no text of their own.
func printableArg(arg any) any {
	switch a := arg.(type) {
	case Painted:
		return string(a)
	case error, fmt.Stringer:
		return Printable(fmt.Sprint(a))
	}
	if v := reflect.ValueOf(arg); v.Kind() == reflect.Bool || v.CanInt() || v.CanUint() || v.CanFloat() {
		return arg
	}
	return Printable(fmt.Sprint(arg))
}

// Painted is printable text with a colour.
type Painted string

// safeWriter is what all commands write text to. Whatever they forget to make printable, it can
// neither move the cursor nor clear the screen. Only the colours of Paint pass, where they are wanted.
type safeWriter struct {
	out     io.Writer
	colours bool
	cut     []byte // the beginning of a rune that is not whole yet
}

// Safe returns a writer of text. Raw leads to what is below it.
func Safe(out io.Writer) io.Writer { return &safeWriter{out: out} }

// Raw returns where a command writes what is no text, such as an archive.
func Raw(out io.Writer) io.Writer {
	if s, ok := out.(*safeWriter); ok {
		return s.out
	}
	return out
}

// Write writes text. It says of all of it that it was written, unless nothing could be.
func (s *safeWriter) Write(text []byte) (int, error) {
	whole := append(s.cut, text...)
	s.cut = nil
	var b strings.Builder
	for len(whole) > 0 {
		if !utf8.FullRune(whole) {
			s.cut = append([]byte(nil), whole...)
			break
		}
		n := s.writeNext(&b, whole)
		whole = whole[n:]
	}
	if _, err := io.WriteString(s.out, b.String()); err != nil {
		return 0, err
	}
	return len(text), nil
}

// writeNext writes the next rune, or the next change of colour, and returns how long that was.
func (s *safeWriter) writeNext(b *strings.Builder, text []byte) int {
	r, n := utf8.DecodeRune(text)
	switch {
	case r == '\n' || r == '\t':
		b.WriteRune(r)
	case r == '\x1b' && s.colours && colourLength(text) > 0:
		n = colourLength(text)
		b.Write(text[:n])
	default:
		b.WriteRune(printableRune(r))
	}
	return n
}

// colourLength returns how long the change of colour is with which text begins; 0: it is none.
func colourLength(text []byte) int {
	for _, c := range []Colour{noColour, Red, Green, Yellow} {
		if sequence := c.sequence(); strings.HasPrefix(string(text[:min(len(text), len(sequence))]), sequence) {
			return len(sequence)
		}
	}
	return 0
}
