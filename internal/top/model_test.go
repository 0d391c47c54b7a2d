package top

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"vxlan-driver/internal/ctl/output"
)

// testScreen has more peers and events than a terminal of 24 lines takes.
func testScreen() Screen {
	s := Screen{
		Title: "host-a", Colour: output.Red, Summary: "1 failure, 1 warning; 2 networks", Time: "12:00:00", More: "vxlanctl status",
		Notices: []Notice{{output.Red, "VX0301 failure: no VXLAN packet passes"}, {output.Yellow, "VX0704 warning: care\x1b[2Jful"}},
		Panes: []Pane{
			{Title: "Networks", Empty: "no network", Columns: []Column{{"NETWORK", true, false}, {"IN", false, false}}, Rows: []Row{
				{0, []Cell{{Text: "blue"}, numberCell("9 B/s", 9)}}, {0, []Cell{{Text: "red"}, numberCell("1.2 kB/s", 1200)}}, {0, []Cell{{Text: "new"}, numberCell("", math.NaN())}},
			}},
			{Title: "Other hosts", Empty: "no host", Columns: []Column{{"HOST", true, false}, {"ADDRESS", false, true}}},
			{Title: "Events", Empty: "nothing happened", Columns: []Column{{"WHAT HAPPENED", true, false}}},
		},
	}
	for i := range 30 {
		s.Panes[1].Rows = append(s.Panes[1].Rows, Row{output.Red, []Cell{{Text: fmt.Sprintf("peer-%02d", i)}, {Text: "198.18.0.9"}}})
		s.Panes[2].Rows = append(s.Panes[2].Rows, Row{0, []Cell{{Text: fmt.Sprintf("event %02d of %s", i, strings.Repeat("a long story ", 9))}}})
	}
	return s
}

// shown is a model that has read the screen once, after keys were pressed.
func shown(t *testing.T, width, height int, keys ...string) model {
	t.Helper()
	m := newModel(testScreen, time.Second, false)
	return send(t, m, append([]any{tea.WindowSizeMsg{Width: width, Height: height}, screenRead(testScreen())}, toAny(keys)...)...)
}

func toAny(keys []string) (all []any) {
	for _, k := range keys {
		all = append(all, k)
	}
	return all
}

// send gives a model messages. A string is a key.
func send(t *testing.T, m model, messages ...any) model {
	t.Helper()
	for _, msg := range messages {
		if key, ok := msg.(string); ok {
			msg = keyOf(key)
		}
		next, _ := m.Update(msg)
		m = next.(model)
	}
	return m
}

var keys = map[string]rune{
	"tab": tea.KeyTab, "enter": tea.KeyEnter, "esc": tea.KeyEscape, "backspace": tea.KeyBackspace, "space": tea.KeySpace,
	"up": tea.KeyUp, "down": tea.KeyDown, "pgup": tea.KeyPgUp, "pgdown": tea.KeyPgDown, "home": tea.KeyHome, "end": tea.KeyEnd,
}

func keyOf(name string) tea.KeyPressMsg {
	if name == "ctrl+c" {
		return tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl}
	}
	if rest, ok := strings.CutPrefix(name, "shift+"); ok {
		return tea.KeyPressMsg{Code: keys[rest], Mod: tea.ModShift}
	}
	if code, ok := keys[name]; ok {
		return tea.KeyPressMsg{Code: code}
	}
	return tea.KeyPressMsg{Code: []rune(name)[0], Text: name}
}

// lineWith returns the first line that has a text, or "".
func lineWith(m model, text string) string {
	for line := range strings.Lines(m.View().Content) {
		if strings.Contains(line, text) {
			return strings.TrimSuffix(line, "\n")
		}
	}
	return ""
}

const wantScreen = `host-a: 1 failure, 1 warning; 2 networks                                12:00:00
VX0301 failure: no VXLAN packet passes
VX0704 warning: care�[2Jful
▸ Networks ─────────────────────────────────────────────────────────────────────
NETWORK   IN
blue      9 B/s
red       1.2 kB/s
new       -
  Other hosts 1–6 of 30 ────────────────────────────────────────────────────────
HOST     ADDRESS
peer-00  198.18.0.9
peer-01  198.18.0.9
peer-02  198.18.0.9
peer-03  198.18.0.9
peer-04  198.18.0.9
peer-05  198.18.0.9
  Events 1–5 of 30 ─────────────────────────────────────────────────────────────
WHAT HAPPENED
event 00 of a long story a long story a long story a long story a long story a …
event 01 of a long story a long story a long story a long story a long story a …
event 02 of a long story a long story a long story a long story a long story a …
event 03 of a long story a long story a long story a long story a long story a …
event 04 of a long story a long story a long story a long story a long story a …
q end  ? help  tab table  s sort  r reverse  / filter  p pause`

func TestScreenOf80x24(t *testing.T) {
	if got := shown(t, 80, 24).View(); got.Content != wantScreen || !got.AltScreen {
		t.Errorf("got\n%s", got.Content)
	}
}

// Whatever the size, no line is wider and there are not more lines than the terminal has.
func TestScreenFits(t *testing.T) {
	for _, size := range [][2]int{{200, 60}, {80, 24}, {80, 14}, {80, 13}, {40, 10}, {20, 5}, {10, 3}, {1, 1}, {0, 0}} {
		for _, keys := range [][]string{nil, {"?"}, {"/", "x"}, {"/", "p", "enter", "tab", "end"}, {"tab", "tab", "end"}} {
			m := shown(t, size[0], size[1], keys...)
			lines := strings.Split(m.View().Content, "\n")
			if len(lines) > max(1, size[1]) {
				t.Errorf("%v, %q: %d lines", size, keys, len(lines))
			}
			for _, line := range lines {
				if n := len([]rune(line)); n > max(size[0], 1) {
					t.Errorf("%v, %q: %d columns: %s", size, keys, n, line)
				}
			}
		}
	}
}

func TestKeys(t *testing.T) {
	tests := []struct {
		keys, has, hasNot string // keys are separated by commas
	}{
		{"s", "NETWORK▲  IN\nblue      9 B/s\nnew", "▼"},
		{"s,r", "NETWORK▼  IN\nred", "▲"},
		{"s,s", "NETWORK   IN▼\nred       1.2 kB/s\nblue      9 B/s\nnew       -", "▲"}, // by the number, the largest first
		{"s,s,r", "NETWORK   IN▲\nblue      9 B/s\nred       1.2 kB/s\nnew       -", "▼"},
		{"s,s,s", "NETWORK   IN\nblue", "▼"},
		{"tab", "▸ Other hosts", "▸ Networks"},
		{"shift+tab", "▸ Events", "▸ Networks"},
		{"tab,tab,tab", "▸ Networks", ""},
		{"tab,down,down", "Other hosts 3–8 of 30", "peer-01"},
		{"tab,down,up,up", "Other hosts 1–6 of 30", ""},
		{"tab,pgdown", "Other hosts 11–16 of 30", "peer-09"},
		{"tab,end", "peer-29", "peer-23"},
		{"tab,end,home", "peer-00", "peer-29"},
		{"tab,pgdown,pgup", "peer-00", ""},
		{"/,P,-,2", "show rows with: P-2", ""},
		{"/,r,-,2,enter", "Other hosts 1–10 of 10 with “r-2”", "peer-19"},
		{"/,r,-,2,backspace,1,enter", "peer-19", "peer-29"},
		{"/,q", "show rows with: q", "peer"}, // a letter, and no command
		{"/,z,z", "  no network", "blue"},
		{"/,z,esc", "blue", "with “"},
		{"/,z,enter,esc", "blue", "with “"},
		{"tab,end,/,-,0,1,enter", "peer-01", "peer-00"},
		{"p", "paused, as of 12:00:00", ""},
		{"space", "paused", ""},
		{"p,p", " 12:00:00", "paused"},
		{"?", "Any key goes back.", "peer"},
		{"h,q", "peer-00", "Any key"},
	}
	for _, tt := range tests {
		content := shown(t, 80, 24, strings.Split(tt.keys, ",")...).View().Content
		if want := strings.Replace(tt.has, "1–10 of 10 with", "with", 1); !strings.Contains(content, want) || tt.hasNot != "" && strings.Contains(content, tt.hasNot) {
			t.Errorf("%s: has not %q, or has %q\n%s", tt.keys, want, tt.hasNot, content)
		}
	}
}

// A model is a value: what a later one does changes no earlier one.
func TestModelsAreValues(t *testing.T) {
	before := shown(t, 80, 24)
	want := before.View().Content
	send(t, before, "s", "r", "tab", "down", "/", "x", "enter", "p")
	if got := before.View().Content; got != want {
		t.Errorf("changed to\n%s", got)
	}
}

func TestReadsAgainUnlessPaused(t *testing.T) {
	m := shown(t, 80, 24)
	later := testScreen()
	later.Summary = "all is well"
	if m = send(t, m, screenRead(later)); lineWith(m, "all is well") == "" {
		t.Error("what was read is not shown")
	}
	if _, cmd := m.Update(readDue{}); cmd == nil {
		t.Fatal("it does not read again")
	} else if _, isRead := cmd().(screenRead); !isRead {
		t.Error("it does something else")
	}
	m = send(t, m, "p", screenRead(testScreen()))
	if lineWith(m, "all is well") == "" {
		t.Error("a screen that is paused changes")
	}
	m.interval = time.Millisecond
	if _, cmd := m.Update(readDue{}); cmd == nil {
		t.Error("it would not go on after the pause")
	} else if _, isDue := cmd().(readDue); !isDue {
		t.Error("it reads while it is paused")
	}
}

// A pane that has fewer rows than before, or panes that are fewer, are shown from where they begin.
func TestScreenThatShrinks(t *testing.T) {
	m := shown(t, 80, 24, "tab", "tab", "end")
	less := testScreen()
	less.Panes[2].Rows = less.Panes[2].Rows[:2]
	if m = send(t, m, screenRead(less)); lineWith(m, "event 00") == "" {
		t.Error("the rows that are left are not shown")
	}
	less.Panes = nil
	if m = send(t, m, screenRead(less), "tab", "s", "down"); lineWith(m, "host-a: ") == "" {
		t.Error("nothing is shown")
	}
}

func TestEndsByKey(t *testing.T) {
	for _, keys := range [][]string{{"q"}, {"ctrl+c"}, {"/", "ctrl+c"}, {"?", "ctrl+c"}} {
		m := shown(t, 80, 24, keys[:len(keys)-1]...)
		_, cmd := m.Update(keyOf(keys[len(keys)-1]))
		if cmd == nil {
			t.Errorf("%q does not end it", keys)
		} else if _, quits := cmd().(tea.QuitMsg); !quits {
			t.Errorf("%q does something else", keys)
		}
	}
}

func TestSuspends(t *testing.T) {
	_, cmd := shown(t, 80, 24).Update(tea.KeyPressMsg{Code: 'z', Mod: tea.ModCtrl})
	if cmd == nil {
		t.Fatal("nothing happens")
	}
	if _, suspends := cmd().(tea.SuspendMsg); !suspends {
		t.Error("it does something else")
	}
}

// What is pasted is a part of the filter, and otherwise nothing.
func TestPaste(t *testing.T) {
	paste := tea.PasteMsg{Content: "peer-2\x1b"}
	if m := send(t, shown(t, 80, 24), paste); m.filter != "" {
		t.Errorf("the filter is %q", m.filter)
	}
	if m := send(t, shown(t, 80, 24, "/"), tea.PasteMsg{Content: "peer-2"}); lineWith(m, "peer-29") == "" || lineWith(m, "peer-19") != "" {
		t.Errorf("got\n%s", m.View().Content)
	}
	if m := send(t, shown(t, 80, 24, "/"), paste); strings.ContainsRune(m.View().Content, '\x1b') {
		t.Error("what is pasted moves the cursor")
	}
}

func TestColours(t *testing.T) {
	m := shown(t, 80, 24)
	if strings.ContainsRune(m.View().Content, '\x1b') {
		t.Error("there are colours")
	}
	m.colour = true
	content := m.View().Content
	for _, want := range []string{"\x1b[31mhost-a: ", "\x1b[33mVX0704", "\x1b[31mpeer-00"} {
		if !strings.Contains(content, want) {
			t.Errorf("there is no %q", want)
		}
	}
	if strings.Contains(content, "\x1b[2J") {
		t.Error("a text moves the cursor")
	}
}

func TestShare(t *testing.T) {
	for _, tt := range []struct {
		lines        int
		wanted, want string
	}{{16, "[3 30 30]", "[3 7 6]"}, {6, "[1 1 1]", "[1 1 1]"}, {2, "[3 3 3]", "[1 1 0]"}, {-3, "[1 1]", "[0 0]"}} {
		var wanted []int
		for _, text := range strings.Fields(strings.Trim(tt.wanted, "[]")) {
			n := 0
			_, _ = fmt.Sscan(text, &n)
			wanted = append(wanted, n)
		}
		if got := fmt.Sprint(shareLines(tt.lines, wanted)); got != tt.want {
			t.Errorf("%d for %s: %s", tt.lines, tt.wanted, got)
		}
	}
}

// However little room there is, the keys are named.
func TestLastLineIsKept(t *testing.T) {
	s := testScreen()
	s.Notices = append(s.Notices, s.Notices...)
	for i := range s.Panes {
		s.Panes[i].Rows = nil
	}
	for height := 1; height < 30; height++ {
		m := send(t, newModel(nil, time.Second, false), tea.WindowSizeMsg{Width: 80, Height: height}, screenRead(s))
		if lines := strings.Split(m.View().Content, "\n"); lines[len(lines)-1] != m.footLine() {
			t.Errorf("height %d ends with %q", height, lines[len(lines)-1])
		}
	}
}

// Characters that take two columns neither push the time off the screen nor misalign a table.
func TestScreenOfWideCharacters(t *testing.T) {
	wide := testScreen()
	wide.Title = strings.Repeat("主机", 30)
	wide.Panes[1].Rows = []Row{{0, []Cell{{Text: "主机甲"}, {Text: "198.18.0.1"}}}, {0, []Cell{{Text: "peer"}, {Text: "198.18.0.2"}}}}
	m := send(t, newModel(testScreen, time.Second, false), tea.WindowSizeMsg{Width: 80, Height: 24}, screenRead(wide), "/", "198.18", "enter")
	for line := range strings.Lines(m.View().Content) {
		if n := output.Width(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if line := lineWith(m, "主机主机"); !strings.HasSuffix(line, " 12:00:00") || output.Width(line) != 80 {
		t.Errorf("the head is %q", line)
	}
	if a, b := lineWith(m, "198.18.0.1"), lineWith(m, "198.18.0.2"); a != "主机甲  198.18.0.1" || b != "peer    198.18.0.2" {
		t.Errorf("got\n%s\n%s", a, b)
	}
}

// numberCell is a cell with a number, which is unknown if it is no number.
func numberCell(text string, number float64) Cell {
	return Cell{Text: text, Number: number, Known: !math.IsNaN(number)}
}
