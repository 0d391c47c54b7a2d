package top

import (
	"context"
	"errors"
	"io"
	"time"

	tea "charm.land/bubbletea/v2"
)

// Config says what is shown, and where.
type Config struct {
	// Read returns what is to be shown. It is not called twice at once.
	Read     func() Screen
	Interval time.Duration // from one Read to the next
	Colour   bool
	In       io.Reader // a terminal
	Out      io.Writer // the same one
}

// Run shows the screen until the user ends it, or ctx is done.
func Run(ctx context.Context, c Config) error {
	m := newModel(c.Read, c.Interval, c.Colour)
	p := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(c.In), tea.WithOutput(c.Out))
	_, err := p.Run()
	if errors.Is(err, tea.ErrInterrupted) || ctx.Err() != nil {
		return nil // the way to end it
	}
	return err
}
