package tunnelprobe

import (
	"testing"

	"vxlan-driver/internal/kernel"
)

func TestParseReturnsWhatWasEncoded(t *testing.T) {
	dst, src := kernel.MAC{2, 0, 0, 0, 0, 1}, kernel.MAC{2, 0, 0, 0, 0, 2}
	for _, m := range []message{{kindRequest, MinSize, 7, 0}, {kindRequest, 1450, 1<<64 - 1, 0}, {kindReply, 1450, 9, 3}} {
		frame := m.encode(dst, src)
		got, from, ok := parse(frame)
		if !ok || got != m || from != src || kernel.MAC(frame[:6]) != dst {
			t.Errorf("%+v: got %+v from %v, %v", m, got, from, ok)
		}
		want := etherLen + m.size
		if m.kind == kindReply {
			want = etherLen + MinSize // no more comes back than was sent
		}
		if len(frame) != want {
			t.Errorf("%+v: has %d bytes, want %d", m, len(frame), want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	valid := message{kindRequest, 100, 7, 0}.encode(kernel.MAC{}, kernel.MAC{})
	changed := func(at int, to byte) []byte {
		b := append([]byte(nil), valid...)
		b[at] = to
		return b
	}
	for name, frame := range map[string][]byte{
		"nothing":                       nil,
		"a header that is cut off":      valid[:etherLen+headerLen-1],
		"a request that is cut off":     valid[:len(valid)-1],
		"another EtherType":             changed(12, 8),
		"another magic number":          changed(etherLen, 'x'),
		"another version":               changed(etherLen+len(magic), 2),
		"an unknown kind":               changed(etherLen+len(magic)+1, 3),
		"a size that no frame can have": changed(etherLen+len(magic)+3, 1),
	} {
		if m, _, ok := parse(frame); ok {
			t.Errorf("%s: got %+v", name, m)
		}
	}
}
