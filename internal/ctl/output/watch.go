package output

import (
	"bytes"
	"cmp"
	"context"
	"os"
	"os/signal"
	"time"
)

// clearScreen moves to the top and clears what is below, which flickers less than the reverse.
const clearScreen = "\x1b[H\x1b[J"

// watch prints until it is interrupted, which is no error. An error ends it too, as a script that
// watches must notice.
func (o *Options) watch(ctx context.Context, p *Printer, print func(*Printer) error) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	ticker := time.NewTicker(o.Interval)
	defer ticker.Stop()
	out := Raw(p.Out) // which takes the screen's clearing too
	for first := true; ; first = false {
		var screen bytes.Buffer
		p.Out = &safeWriter{out: &screen, colours: p.Colour}
		if p.Terminal {
			screen.WriteString(clearScreen)
		} else if !first && !p.json && p.template == nil {
			screen.WriteByte('\n')
		}
		err := print(p)
		if _, writeErr := out.Write(screen.Bytes()); err != nil || writeErr != nil {
			return cmp.Or(err, writeErr)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
