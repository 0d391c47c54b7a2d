package top

import (
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"

	"vxlan-driver/internal/ctl/output"
)

// model is the state of the program. Update and View only compute.
type model struct {
	read     func() Screen
	interval time.Duration
	colour   bool

	screen        Screen
	width, height int

	focus  int     // the pane that keys are for
	orders []order // of each pane
	top    []int   // the first row of each pane that is shown
	filter string
	typing bool // of the filter
	paused bool
	help   bool
}

// The messages of the model.
type (
	screenRead Screen   // what was read
	readDue    struct{} // it is time to read again
)

func newModel(read func() Screen, interval time.Duration, colour bool) model {
	return model{read: read, interval: interval, colour: colour, width: 80, height: 24}
}

// Init reads for the first time.
func (m model) Init() tea.Cmd { return m.readScreen }

func (m model) readScreen() tea.Msg { return screenRead(m.read()) }

// nextReading asks for the next reading.
func (m model) nextReading() tea.Cmd {
	return tea.Tick(m.interval, func(time.Time) tea.Msg { return readDue{} })
}

// Update takes what happened.
func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case screenRead:
		if !m.paused {
			m.showReading(Screen(msg))
		}
		return m, m.nextReading()
	case readDue:
		if m.paused {
			return m, m.nextReading()
		}
		return m, m.readScreen
	case tea.KeyPressMsg:
		return m.handleKey(msg.String())
	case tea.PasteMsg:
		if m.typing {
			m.setFilter(m.filter + output.Printable(msg.Content))
		}
	}
	return m, nil
}

// showReading shows what was read. The panes keep their order and what of them is shown.
func (m *model) showReading(s Screen) {
	m.screen = s
	for len(m.orders) < len(s.Panes) {
		m.orders, m.top = append(m.orders, order{column: -1}), append(m.top, 0)
	}
	m.focus = min(m.focus, max(0, len(s.Panes)-1))
}

// handleKey does what a key is for.
func (m model) handleKey(key string) (tea.Model, tea.Cmd) {
	switch {
	case key == "ctrl+c":
		return m, tea.Quit
	case key == "ctrl+z":
		return m, tea.Suspend
	case m.typing:
		m.typeFilter(key)
		return m, nil
	case m.help:
		m.help = false // any key goes back
		return m, nil
	}
	switch key {
	case "q":
		return m, tea.Quit
	case "?", "h":
		m.help = true
	case "p", "space":
		m.paused = !m.paused
	case "/":
		m.typing = true
		m.setFilter("")
	case "esc":
		m.setFilter("")
	default:
		m.pressInPane(key)
	}
	return m, nil
}

// typeFilter takes a key as a part of the filter.
func (m *model) typeFilter(key string) {
	switch key {
	case "enter":
		m.typing = false
	case "esc":
		m.typing = false
		m.setFilter("")
	case "backspace":
		runes := []rune(m.filter)
		m.setFilter(string(runes[:max(0, len(runes)-1)]))
	case "space":
		m.setFilter(m.filter + " ")
	default:
		if len([]rune(key)) == 1 {
			m.setFilter(m.filter + key)
		}
	}
}

// setFilter shows the first rows that have the text.
func (m *model) setFilter(text string) {
	m.filter, m.top = text, make([]int, len(m.top))
}

// pageSize is how far a page goes.
const pageSize = 10

// pressInPane does what a key is for in the pane that has the focus.
func (m *model) pressInPane(key string) {
	if len(m.screen.Panes) == 0 {
		return
	}
	m.orders, m.top = slices.Clone(m.orders), slices.Clone(m.top) // models are values
	pane, o, top := m.screen.Panes[m.focus], &m.orders[m.focus], &m.top[m.focus]
	last := max(0, len(pane.matchingRows(m.filter, *o))-1)
	switch key {
	case "tab", "right":
		m.focus = (m.focus + 1) % len(m.screen.Panes)
	case "shift+tab", "left":
		m.focus = (m.focus + len(m.screen.Panes) - 1) % len(m.screen.Panes)
	case "s":
		o.column++
		if o.column == len(pane.Columns) {
			o.column = -1
		}
		o.reverse = o.column >= 0 && pane.isNumeric(o.column)
	case "r":
		o.reverse = !o.reverse
	case "up", "k":
		*top = max(0, *top-1)
	case "down", "j":
		*top = min(last, *top+1)
	case "pgup":
		*top = max(0, *top-pageSize)
	case "pgdown":
		*top = min(last, *top+pageSize)
	case "home", "g":
		*top = 0
	case "end", "G":
		*top = last
	}
}
