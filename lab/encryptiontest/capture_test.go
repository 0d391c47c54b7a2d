package encryptiontest

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/packet"
)

// capture reads along on the underlay, at all hosts' interfaces.
type capture struct {
	end    context.CancelFunc
	ended  sync.WaitGroup
	mu     sync.Mutex
	wanted [][]byte
	found  map[string][]byte // by what is wanted, the first frame that has it
	plain  int               // VXLAN packets on an IPv4 underlay
	cipher int               // WireGuard's packets that carry others
}

// startCapture looks for texts in all packets until stop is called, or the test ends.
func startCapture(t *testing.T, hosts []*lab.Host, wanted ...string) *capture {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	c := &capture{end: end, found: make(map[string][]byte)}
	for _, w := range wanted {
		c.wanted = append(c.wanted, []byte(w))
	}
	for _, h := range hosts {
		p, err := packet.Open(h.Netns(), "eth0")
		checkErr(t, err)
		c.ended.Go(func() {
			defer p.Close()
			for last := false; !last; {
				last = ctx.Err() != nil // what came until then is read
				if _, err := p.Receive(100*time.Millisecond, c.look); err != nil {
					t.Errorf("capture on %s: %v", h.Name(), err)
					return
				}
			}
		})
	}
	t.Cleanup(c.stop)
	return c
}

// stop ends the capture. What was found stays.
func (c *capture) stop() {
	c.end()
	c.ended.Wait()
}

func (c *capture) look(frame []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := packet.Inner(frame); ok {
		c.plain++
	}
	if isWireGuardData(frame) {
		c.cipher++
	}
	for _, w := range c.wanted {
		if bytes.Contains(frame, w) && c.found[string(w)] == nil {
			c.found[string(w)] = bytes.Clone(frame)
		}
	}
	return false
}

// isWireGuardData tells whether a frame carries a packet of WireGuard's type 4, from the port that the first
// devices of hosts have.
func isWireGuardData(frame []byte) bool {
	headers := 14 + 20
	if packet.EtherType(frame) == packet.TypeIPv6 {
		headers = 14 + 40
	}
	if len(frame) < headers+8+4 {
		return false
	}
	port, kind := binary.BigEndian.Uint16(frame[headers+2:]), binary.LittleEndian.Uint32(frame[headers+8:])
	return port >= 51820 && port < 51840 && kind == 4
}

// seen returns the first frame with a text, or nil.
func (c *capture) seen(text string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.found[text]
}

// encryptedPackets is how many packets WireGuard has carried.
func (c *capture) encryptedPackets() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cipher
}

// checkNothingRead fails the test for each text that was found.
func (c *capture) checkNothingRead(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.wanted {
		if f := c.found[string(w)]; f != nil {
			t.Errorf("the underlay shows %q in %d bytes: % x", w, len(f), f[:min(len(f), 160)])
		}
	}
}
