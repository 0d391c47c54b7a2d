package output

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// What a command forgets to make printable is harmless all the same.
func TestSafeWriter(t *testing.T) {
	tests := []struct {
		name, text, plain, coloured string
	}{
		{"text", "a\tb\nc\n", "a\tb\nc\n", "a\tb\nc\n"},
		{"other scripts", "主机 é\n", "主机 é\n", "主机 é\n"},
		{"cursor", "a\x1b[2Jb", "a\ufffd[2Jb", "a\ufffd[2Jb"},
		{"eight bits", "a\u009b2J\x9b", "a\ufffd2J\ufffd", "a\ufffd2J\ufffd"},
		{"carriage return", "good\rbad", "good\ufffdbad", "good\ufffdbad"},
		{"right to left", "a\u202eb", "a\ufffdb", "a\ufffdb"},
		{"colours of its own", "\x1b[31mx\x1b[0m", "\ufffd[31mx\ufffd[0m", "\x1b[31mx\x1b[0m"},
		{"others' colours", "\x1b[8mx", "\ufffd[8mx", "\ufffd[8mx"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for colours, want := range map[bool]string{false: tt.plain, true: tt.coloured} {
				var out bytes.Buffer
				w := &safeWriter{out: &out, colours: colours}
				if n, err := w.Write([]byte(tt.text)); n != len(tt.text) || err != nil || out.String() != want {
					t.Errorf("colours %t: %d, %v, wrote %q", colours, n, err, out.String())
				}
			}
		})
	}
}

// A character may come in pieces.
func TestSafeWriterOfPieces(t *testing.T) {
	var out bytes.Buffer
	w := Safe(&out)
	for _, b := range []byte("主\u009bé.") {
		if _, err := w.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if out.String() != "主\ufffdé." {
		t.Errorf("wrote %q", out.String())
	}
	if Raw(w) != &out || Raw(&out) != &out {
		t.Error("what is below it is something else")
	}
}

type called string

func TestFprintfKeepsOneLine(t *testing.T) {
	const text = "a\x1b[2J\nb"
	const want = "a\ufffd[2J b"
	for _, arg := range []any{text, called(text), errors.New(text), []string{text}, Painted(want)} {
		var out bytes.Buffer
		Fprintf(&out, "%v|\n", arg)
		Fprintln(&out, arg, 7)
		if got := strings.Trim(out.String(), "[]"); strings.NewReplacer("[a", "a", "b]", "b").Replace(got) != want+"|\n"+want+" 7\n" {
			t.Errorf("%T: wrote %q", arg, got)
		}
	}
	var out bytes.Buffer
	Fprintf(&out, "%d %.1f %t %v %s", 7, 0.5, true, netip.MustParseAddr("10.0.0.1"), fmt.Sprint(9))
	if out.String() != "7 0.5 true 10.0.0.1 9" {
		t.Errorf("wrote %q", out.String())
	}
}

// Columns are aligned by what a terminal shows, not by how many characters that are.
func TestColumnsOfWideCharacters(t *testing.T) {
	wide := []host{{"主机甲", "up", "1h"}, {"cafe\u0301", "up", "2h"}, {"🚀-host", "down", ""}}
	tests := []struct {
		width int
		want  string
	}{
		{0, "NAME     STATE  UP SINCE\n主机甲   up     1h\ncafe\u0301     up     2h\n🚀-host  down   -\n"},
		{14, "NAME     STATE\n主机甲   up\ncafe\u0301     up\n🚀-host  down\n"},
	}
	for _, tt := range tests {
		var out bytes.Buffer
		l := Listing[host]{Columns: columns, Rows: wide}
		if err := l.Print(&Printer{Out: &out, Width: tt.width}); err != nil {
			t.Fatal(err)
		}
		if out.String() != tt.want {
			t.Errorf("width %d: printed\n%s", tt.width, out.String())
		}
	}
}

func TestCutLeavesWholeCharacters(t *testing.T) {
	tests := []struct {
		text  string
		width int
		want  string
	}{
		{"host", 4, "host"},
		{"hosts", 4, "hos…"},
		{"主机甲", 6, "主机甲"},
		{"主机甲", 5, "主机…"},
		{"主机甲", 4, "主…"},
		{"cafe\u0301s", 5, "cafe\u0301s"},
		{"cafe\u0301s", 4, "caf…"},
		{"主", 1, "…"},
		{"x", 0, ""},
		{"x", -1, ""},
	}
	for _, tt := range tests {
		if got := Cut(tt.text, tt.width); got != tt.want || Width(got) > max(tt.width, 0) {
			t.Errorf("%q in %d: %q, %d wide", tt.text, tt.width, got, Width(got))
		}
	}
}

func TestTemplateColumnsOfWideCharacters(t *testing.T) {
	got := alignTabs("NAME\tSTATE\n主机\tup\nhost-a\tdown\nalone\n")
	if want := "NAME    STATE\n主机    up\nhost-a  down\nalone\n"; got != want {
		t.Errorf("aligned\n%s", got)
	}
}

// Lines are broken where the terminal would break them.
func TestWrapOfWideCharacters(t *testing.T) {
	p := &Printer{Width: 10}
	if got, want := p.Wrap("# ", "#   ", "主机 主机 ab"), "# 主机\n#   主机\n#   ab\n"; got != want {
		t.Errorf("wrapped as %q", got)
	}
}

// JSON has the values as they are, and is safe to look at.
func TestJSONKeepsWhatIsNotPrintable(t *testing.T) {
	const text = "a\x1b[2J\u009b\u202e\U000e0001b\n主"
	document, err := Document(host{Name: text}, true)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"schema":1,"name":"a\u001b[2J\u009b\u202e\udb40\udc01b\n主","state":""}` + "\n"; string(document) != want {
		t.Errorf("got %s", document)
	}
	var read host
	if err := json.Unmarshal(document, &read); err != nil || read.Name != text {
		t.Errorf("read %q, %v", read.Name, err)
	}
}
