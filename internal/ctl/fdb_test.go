package ctl

import (
	"strings"
	"testing"

	"vxlan-driver/internal/agentapi"
)

func (h fakeHost) Forwarding() ([]agentapi.ForwardingEntry, bool, error) {
	entries := []agentapi.ForwardingEntry{
		{Network: "blue", Table: agentapi.TableFlood, Key: "all", Target: "198.18.0.3", State: agentapi.EntryOK},
		{Network: "blue", Table: agentapi.TableFDB, Key: "06:00:00:00:00:04", Target: "198.18.0.2", Owner: "db on host-b", State: agentapi.EntryMissing},
	}
	if h.err == agentapi.ErrNotRunning {
		return entries[:1], true, nil
	}
	return entries, false, h.err
}

func TestForwarding(t *testing.T) {
	tests := []struct {
		args string
		err  error
		code int
		want string
	}{
		{"fdb", nil, 0, `NETWORK  TABLE  KEY                TO          OWNER         STATE
blue     flood  all                198.18.0.3  -             ok
blue     fdb    06:00:00:00:00:04  198.18.0.2  db on host-b  missing
`},
		{"fdb --diff --noheading", nil, 1, "blue     fdb    06:00:00:00:00:04  198.18.0.2  db on host-b  missing\n"},
		{"fdb --diff -q --filter table=flood", nil, 1, ""},
		{"fdb --diff", agentapi.ErrNotRunning, 0, "NETWORK  TABLE  KEY  TO  OWNER  STATE\n# vxland does not run, so only the hosts of remote_ips are known; MACs are learned\n"},
		{"fdb all", nil, 2, ""},
	}
	for _, tt := range tests {
		if out, err := run(fakeHost{err: tt.err}, strings.Fields(tt.args)...); ExitCode(err) != tt.code || out != tt.want {
			t.Errorf("%s: ends with %d, printed\n%s", tt.args, ExitCode(err), out)
		}
	}
}
