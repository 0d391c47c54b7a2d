package guard

import (
	"net"
	"testing"
)

func TestStreamEndsAtItsLimit(t *testing.T) {
	ours, theirs := net.Pipe()
	released := 0
	s := &limitedStream{Conn: ours, left: 10, onClose: func() { released++ }}
	go func() { _, _ = theirs.Write(make([]byte, 20)) }()
	buf := make([]byte, 20)
	if n, err := s.Read(buf); n != 10 || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
	if _, err := s.Read(buf); err == nil {
		t.Error("read on")
	}
	_ = s.Close()
	_ = s.Close()
	_ = theirs.Close()
	if released != 1 {
		t.Errorf("released %d times", released)
	}
}
