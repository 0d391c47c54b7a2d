package ctl

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/kernel/echo"
)

// fakePinger is on the networks of testInventory. It answers each echo in turn after a time, or with
// 0 not at all.
type fakePinger struct {
	fakeHost
	answers []time.Duration
	largest int
}

func (f *fakePinger) OpenEcho(Path) (Echoer, error) { return f, nil }

func (f *fakePinger) Close() error { return nil }

func (f *fakePinger) Largest(_, most int, _ time.Duration) (int, error) {
	return min(f.largest, most), nil
}

func (f *fakePinger) Echo(int, time.Duration) (time.Duration, error) {
	rtt := f.answers[0]
	f.answers = f.answers[1:]
	if rtt == 0 {
		return 0, echo.ErrNoAnswer
	}
	return rtt, nil
}

func TestPing(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name string
		args string
		fake fakePinger
		want string
		code int
	}{
		{"all", "db", fakePinger{answers: []time.Duration{ms, 2 * ms, 3 * ms}, largest: 9000},
			"web → db (10.0.0.4), through the tunnel to host host-b (198.18.0.2)\nsent 3, received 3, lost 0%\nround trip 2.0 ms, 1.0 ms to 3.0 ms\nlargest packet 1450 bytes of 1450\n", 0},
		{"host", "host-b", fakePinger{answers: []time.Duration{ms, ms, ms}, largest: 9000}, "this host → host-b (198.18.0.2), on the underlay, outside of tunnels\n", 0},
		{"host without a network", "host-x", fakePinger{answers: []time.Duration{ms, ms, ms}, largest: 9000}, "this host → host-x (198.18.0.9), on the underlay, outside of tunnels\n", 0},
		{"address of a host without a network", "198.18.0.9", fakePinger{answers: []time.Duration{ms, ms, ms}, largest: 9000}, "this host → host-x (198.18.0.9)", 0},
		{"some", "db", fakePinger{answers: []time.Duration{ms, 0, ms}, largest: 9000}, "sent 3, received 2, lost 33%\n", 1},
		{"large ones lost", "db", fakePinger{answers: []time.Duration{ms, ms, ms}, largest: 1400}, "largest packet 1400 bytes of 1450\n# larger packets are lost", 1},
		{"none", "db", fakePinger{answers: []time.Duration{0, 0, 0}}, "sent 3, received 0, lost 100%\n# no answer", 1},
		{"unknown target", "nobody", fakePinger{}, "", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			err := execute(pingCommand(&tt.fake), &out, tt.args, "-c", "3", "--pause", "0s")
			if ExitCode(err) != tt.code || !strings.Contains(out.String(), tt.want) {
				t.Errorf("%v, printed\n%s", err, out.String())
			}
		})
	}
	var out bytes.Buffer
	if err := execute(pingCommand(&fakePinger{}), &out, "db", "-c", "0"); ExitCode(err) != exitUsage {
		t.Errorf("no echoes: %v", err)
	}
}

// execute runs a subcommand alone.
func execute(cmd *cobra.Command, out *bytes.Buffer, args ...string) error {
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetOut(out)
	cmd.SetArgs(args)
	return cmd.Execute()
}
