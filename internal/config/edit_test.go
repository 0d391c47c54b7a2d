package config

import (
	"net/netip"
	"strings"
	"testing"
)

func TestCompleteAddsOnlyWhatIsMissing(t *testing.T) {
	member := Membership{
		KeyFile: "/etc/vxlan/key", Cluster: DefaultCluster, Port: 7947,
		Seeds: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7947"), netip.MustParseAddrPort("[2001:db8::1]:7000")},
	}
	other := member
	other.Cluster, other.Port, other.Seeds = "blue", 7000, nil
	const all = `key_file = "/etc/vxlan/key" # by vxlanctl
seeds = ["192.0.2.1", "[2001:db8::1]:7000"] # by vxlanctl
keep_running = true # by vxlanctl
`
	tests := []struct {
		name, file string
		member     Membership
		want, err  string
	}{
		{"an empty file", "", member, all, ""},
		{"again", all, member, all, ""},
		{"a user's file", "# mine\nlog_level = \"debug\"", member, "# mine\nlog_level = \"debug\"\n" + all, ""},
		{"a user's seeds", "seeds = [\"192.0.2.9\"]\nkey_file = '/etc/vxlan/key'\nkeep_running = false\n", member, "seeds = [\"192.0.2.9\"]\nkey_file = '/etc/vxlan/key'\nkeep_running = false\n", ""},
		{"another cluster", "", other, "key_file = \"/etc/vxlan/key\" # by vxlanctl\ncluster = \"blue\" # by vxlanctl\nport = 7000 # by vxlanctl\nkeep_running = true # by vxlanctl\n", ""},
		{"another key file", `key_file = "/root/key"`, member, "", `key_file: the file has /root/key, and the cluster needs "/etc/vxlan/key"`},
		{"another label and port", "cluster = \"red\"\nport = 7001", other, "", "cluster: the file has red, and the cluster needs \"blue\"\nport: the file has 7001, and the cluster needs 7000"},
		{"a port where the default is needed", "port = 7001", member, "", "port: the file has 7001"},
		{"a wrong file", "port = ", member, "", "line 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := tt.member.Complete(tt.file)
			if err != nil && (tt.err == "" || !strings.Contains(err.Error(), tt.err)) || err == nil && tt.err != "" {
				t.Errorf("got %v, want %q", err, tt.err)
			}
			if err == nil && got != tt.want {
				t.Errorf("got\n%s", got)
			}
			if err != nil {
				return
			}
			if _, err := ParseSettings(got); err != nil {
				t.Errorf("the result is wrong: %v", err)
			}
			if again, added, err := tt.member.Complete(got); again != got || len(added) > 0 || err != nil {
				t.Errorf("again: added %v, %v", added, err)
			}
			if left := RemoveWritten(got); strings.TrimSuffix(left, "\n") != strings.TrimSuffix(RemoveWritten(tt.file), "\n") {
				t.Errorf("left %q", left)
			}
		})
	}
}
