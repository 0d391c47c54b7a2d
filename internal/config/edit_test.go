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
	const all = clusterFileHead + `key_file = "/etc/vxlan/key"
seeds = ["192.0.2.1", "[2001:db8::1]:7000"]
keep_running = true
`
	tests := []struct {
		name      string
		texts     Texts
		member    Membership
		want, err string
	}{
		{"no files", Texts{}, member, all, ""},
		{"again", Texts{Cluster: all}, member, all, ""},
		{"a user's file", Texts{Main: "# mine\nlog_level = \"debug\""}, member, all, ""},
		{"all by a user", Texts{Main: "seeds = [\"192.0.2.9\"]\nkey_file = '/etc/vxlan/key'\nkeep_running = false\n"}, member, "", ""},
		{"a user's seeds", Texts{Main: "seeds = [\"192.0.2.9\"]\nkey_file = '/etc/vxlan/key'"}, member, clusterFileHead + "keep_running = true\n", ""},
		{"an earlier version's", Texts{Main: "seeds = [] # by vxlanctl\nkey_file = '/etc/vxlan/key' # by vxlanctl\nkeep_running = true # by vxlanctl\n"}, member, "", ""},
		{"a part", Texts{Cluster: "# mine too\nkey_file = '/etc/vxlan/key'"}, member, "# mine too\nkey_file = '/etc/vxlan/key'\nseeds = [\"192.0.2.1\", \"[2001:db8::1]:7000\"]\nkeep_running = true\n", ""},
		{"another cluster", Texts{}, other, clusterFileHead + "key_file = \"/etc/vxlan/key\"\ncluster = \"blue\"\nport = 7000\nkeep_running = true\n", ""},
		{"another key file", Texts{Main: `key_file = "/root/key"`}, member, "", `key_file: /etc/vxlan/vxland.toml has /root/key, and the cluster needs "/etc/vxlan/key"`},
		{"another label and port", Texts{Main: "cluster = \"red\"\nport = 7001"}, other, "", "cluster: /etc/vxlan/vxland.toml has red, and the cluster needs \"blue\"\nport: /etc/vxlan/vxland.toml has 7001, and the cluster needs 7000"},
		{"of another cluster", Texts{Cluster: all + "cluster = \"red\"\n"}, other, "", "cluster: /etc/vxlan/cluster.toml has red, and the cluster needs \"blue\""},
		{"a port where the default is needed", Texts{Main: "port = 7001"}, member, "", "port: /etc/vxlan/vxland.toml has 7001"},
		{"a wrong file", Texts{Main: "port = "}, member, "", "line 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := tt.member.Complete(tt.texts)
			if err != nil && (tt.err == "" || !strings.Contains(err.Error(), tt.err)) || err == nil && tt.err != "" {
				t.Errorf("got %v, want %q", err, tt.err)
			}
			if err != nil {
				return
			}
			if got != tt.want {
				t.Errorf("got\n%s", got)
			}
			tt.texts.Cluster = got
			if _, err := tt.texts.ParseSettings(); err != nil {
				t.Errorf("the result is wrong: %v", err)
			}
			if again, added, err := tt.member.Complete(tt.texts); again != got || len(added) > 0 || err != nil {
				t.Errorf("again: added %v, %v", added, err)
			}
		})
	}
}

// Earlier versions wrote into the administrator's file.
func TestRemoveWritten(t *testing.T) {
	const mine = "# mine\nport = 7000\n"
	if left := RemoveWritten(mine + "key_file = \"/etc/vxlan/key\" # by vxlanctl\r\nkeep_running = true # by vxlanctl"); left != mine {
		t.Errorf("left %q", left)
	}
}
