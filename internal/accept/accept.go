package accept

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// pause follows an error of accept that would occur again at once.
const pause = 100 * time.Millisecond

// Connections gives each connection to take, until ctx is done. Then it closes the listener, and a
// connection that came in the last moment: that client is not left waiting. While descriptors or
// memory are short, connections wait, and shortage gets the error each time.
func Connections(ctx context.Context, l net.Listener, shortage func(error), take func(net.Conn)) error {
	defer l.Close() // AfterFunc may come to it after this has returned
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil && err == nil:
			_ = conn.Close() // nothing was sent on it
			return nil
		case ctx.Err() != nil:
			return nil
		case IsShortage(err):
			shortage(err)
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		case err != nil:
			return fmt.Errorf("accept: %w", err)
		default:
			take(conn)
		}
	}
}

// IsShortage tells whether an error may be over as soon as another connection or process ends.
func IsShortage(err error) bool {
	for _, shortage := range []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EAGAIN} {
		if errors.Is(err, shortage) {
			return true
		}
	}
	return false
}
