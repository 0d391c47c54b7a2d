package wire_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"vxlan-driver/internal/cluster/gossip/wire"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
)

// FuzzMessage decodes messages of any format and kind, known or not. The fuzz tests of single kinds
// look closer at what they have.
func FuzzMessage(f *testing.F) {
	for _, m := range wiretest.Messages() {
		f.Add(m.Encode())
	}
	f.Add(rawMessage(99, 1, 2, 3))
	f.Fuzz(func(t *testing.T, data []byte) { checkMessage(t, data) })
}

// checkMessage decodes a message. What is accepted has no other encoding, but for optional fields at
// its end and for records that are refused. What is decoded can be encoded and decoded again.
func checkMessage(t *testing.T, data []byte) (accepted bool) {
	m, err := wire.Decode(data, wire.Supported)
	switch {
	case err != nil && !errors.Is(err, wire.ErrMalformed) && !errors.Is(err, wire.ErrVersion):
		t.Errorf("error %v", err)
	case err == nil && len(m.Refused) == 0 && !bytes.HasPrefix(data, encodeFixed(m)):
		t.Errorf("%x became %x", data, m.Encode())
	case err == nil && m.OwnAnswer != nil:
		if again, err := wire.Decode(m.Encode(), wire.Supported); err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%x became %+v, %v", data, again, err)
		}
	}
	return err == nil
}

// TestDecoderOnMutations decodes messages, contents of records and deltas that were changed at
// random. The fuzz tests look for new ways through the code, which makes each of their inputs a
// hundred times slower. `make fuzz-wire` asks for ten million here.
func TestDecoderOnMutations(t *testing.T) {
	runs := 30_000
	if text := os.Getenv("WIRE_RUNS"); text != "" {
		var err error
		if runs, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	var workers sync.WaitGroup
	var mu sync.Mutex
	var total mutationCounts
	for i := range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			counts := decodeMutations(t, uint64(i), runs/runtime.GOMAXPROCS(0))
			mu.Lock()
			defer mu.Unlock()
			total.add(counts)
		})
	}
	workers.Wait()
	t.Logf("%d messages, %d accepted; %d contents, %d accepted; %d deltas, %d applied",
		total.messages, total.accepted, total.contents, total.valid, total.deltas, total.applied)
	if total.accepted == 0 || total.valid == 0 || total.applied == 0 {
		t.Error("nothing was accepted")
	}
}

// mutationCounts says what was decoded, and how much of it was accepted.
type mutationCounts struct{ messages, accepted, contents, valid, deltas, applied int }

func (c *mutationCounts) add(o mutationCounts) {
	c.messages, c.accepted = c.messages+o.messages, c.accepted+o.accepted
	c.contents, c.valid = c.contents+o.contents, c.valid+o.valid
	c.deltas, c.applied = c.deltas+o.deltas, c.applied+o.applied
}

// decodeMutations decodes so many mutations: messages, contents and deltas in turn.
func decodeMutations(t *testing.T, seed uint64, runs int) (c mutationCounts) {
	m := mutator{rng: rand.New(rand.NewPCG(7, seed))}
	base, later := wiretest.Record("a", "b"), wiretest.WithUnknown(wiretest.WithKeys(wiretest.WithView(wiretest.Record("a",
		"b", "c"))))
	var messages, deltas, contents [][]byte
	for _, message := range wiretest.Messages() {
		messages = append(messages, message.Encode())
		if message.Kind == wire.KindDelta {
			deltas = append(deltas, message.Encode())
		}
	}
	for _, r := range []wire.Record{base, later, wiretest.Record(), wire.NewLeftRecord(wiretest.HostB)} {
		contents = append(contents, r.Raw)
	}
	for i := 0; i < runs && !t.Failed(); i++ {
		switch i % 3 {
		case 0:
			c.messages++
			c.accepted += count(checkMessage(t, m.mutate(messages)))
		case 1:
			c.contents++
			c.valid += count(checkContent(t, m.mutate(contents)))
		case 2:
			if message, err := wire.Decode(m.mutate(deltas), wire.Supported); err == nil && message.Kind == wire.KindDelta {
				c.deltas++
				c.applied += count(checkDelta(t, base, message.Delta))
			} else {
				c.messages++
			}
		}
	}
	return c
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// mutator makes inputs of valid ones.
type mutator struct{ rng *rand.Rand }

// mutate returns one of the inputs with a few changes.
func (m mutator) mutate(inputs [][]byte) []byte {
	data := bytes.Clone(inputs[m.rng.IntN(len(inputs))])
	for range 1 + m.rng.IntN(4) {
		at, length := m.rng.IntN(len(data)+1), m.rng.IntN(8)
		end := min(len(data), at+length)
		switch other := inputs[m.rng.IntN(len(inputs))]; m.rng.IntN(6) {
		case 0: // another bit
			if at < len(data) {
				data[at] ^= 1 << m.rng.IntN(8)
			}
		case 1: // another byte, often one at the edge of what a number may be
			if at < len(data) {
				data[at] = []byte{0, 1, 0x7f, 0x80, 0xff, byte(m.rng.Uint32())}[m.rng.IntN(6)]
			}
		case 2: // bytes go
			data = append(data[:at], data[end:]...)
		case 3: // bytes come twice
			data = append(data[:end:end], data[at:]...)
		case 4: // bytes of another input come
			from := m.rng.IntN(len(other) + 1)
			data = append(data[:at:at], append(bytes.Clone(other[from:min(len(other), from+4*length)]), data[at:]...)...)
		case 5: // the end goes
			if m.rng.IntN(4) == 0 {
				data = data[:at]
			}
		}
	}
	return data
}
