package ctl

import (
	"errors"
	"strings"
	"testing"

	"vxlan-driver/internal/agentapi"
)

func TestTopology(t *testing.T) {
	tests := []struct {
		args string
		err  error
		code int
		want string
	}{
		{"topology", nil, 0, "├─ host-b (198.18.0.2), reachable\n│  ├─ db 10.0.0.4\n"},
		{"topology --format text", nil, 0, "network green: VNI 9, UDP port 4789, MTU 1450, not on this host, containers: 1\n"},
		{"topology -q", nil, 0, "blue\nred\n"},
		{"topology --format svg", nil, 0, `<text class="name" x="510" y="66">host-b (198.18.0.2)</text>`},
		{"topology --format mermaid", nil, 0, "flowchart LR\n  subgraph n0["},
		{"topology --format dot", nil, 0, "graph vxlan {\n"},
		{"topology --format json", nil, 0, `"state": "unreachable",`},
		{"topology --format {{len/.Networks}}", nil, 0, "4\n"},
		{"topology", agentapi.ErrNotRunning, 0, "# " + aloneNote + "\n"},
		{"topology --format svg", errors.New("boom"), 1, ""},
		{"topology blue", nil, 2, ""},
		{"topology --format {{", nil, 2, ""},
		{"__complete topology --format ", nil, 0, "json\ntext\nsvg\nmermaid\ndot\n:4\n"},
	}
	for _, tt := range tests {
		args := strings.Split(tt.args, " ")
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "/", " ")
		}
		if out, err := run(fakeHost{err: tt.err}, args...); ExitCode(err) != tt.code || !strings.Contains(out, tt.want) {
			t.Errorf("%s: ends with %d, %v, printed\n%s", tt.args, ExitCode(err), err, out)
		}
	}
}
