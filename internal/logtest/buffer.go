package logtest

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// Buffer has what was logged. Its methods may be called from any goroutine.
type Buffer struct {
	mu    sync.Mutex
	text  strings.Builder
	wrote chan struct{} // is closed at the next write; nil: nobody waits for it
}

// Write adds a line.
func (b *Buffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wrote != nil {
		close(b.wrote)
		b.wrote = nil
	}
	return b.text.Write(line)
}

// String returns all that was logged.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Count tells how often a text was logged.
func (b *Buffer) Count(text string) int { return strings.Count(b.String(), text) }

// WaitFor waits until a text was logged.
func (b *Buffer) WaitFor(t testing.TB, text string) {
	t.Helper()
	for timeout := time.After(10 * time.Second); ; {
		wrote := b.nextWrite()
		if b.Count(text) > 0 {
			return
		}
		select {
		case <-wrote:
		case <-timeout:
			t.Fatalf("%q is not in\n%s", text, b)
		}
	}
}

func (b *Buffer) nextWrite() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wrote == nil {
		b.wrote = make(chan struct{})
	}
	return b.wrote
}
