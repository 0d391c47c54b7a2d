package ctl

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/diagnosis"
)

func TestDoctor(t *testing.T) {
	broken := []diagnosis.Finding{
		{Code: "VX0502", Level: diagnosis.Failure, Host: "host-a", Network: "blue", Summary: "chain in drops", Evidence: []string{"nft list chain inet f in"}, Mend: []string{"nft flush chain inet f in"}},
		{Code: "VX0703", Level: diagnosis.Warning, Host: "host-a", Summary: "old", Mend: []string{"vxlanctl reload"}},
	}
	const printed = `VX0502 failure host-a blue: chain in drops
    seen: nft list chain inet f in
    mend: nft flush chain inet f in
VX0703 warning host-a: old
    mend: vxlanctl reload
`
	tests := []struct {
		name, args string
		findings   []diagnosis.Finding
		err        error
		want       string
		code       int
	}{
		{"healthy", "doctor", nil, nil, "no fault found: 24 checks on 2 networks\n", 0},
		{"broken", "doctor", broken, nil, printed, 2},
		{"one network", "doctor red", broken, nil, printed[strings.Index(printed, "VX0703"):], 1},
		{"another host", "doctor host-b", broken, nil, "no fault found: 24 checks on 1 network\n", 0},
		{"nobody", "doctor host-z", nil, nil, "", 3},
		{"all", "doctor --all", nil, nil, "no fault found: 48 checks on 2 networks and 2 hosts\n", 0},
		{"all without an agent", "doctor --all", nil, errors.New("boom"), "", 3},
		{"codes only", "doctor -q", broken, nil, "VX0502\nVX0703\n", 2},
		{"template", "doctor --format {{.Level}}", broken, nil, "failure\n", 2},
		{"unknown", "doctor", []diagnosis.Finding{{Code: "VX0105", Level: diagnosis.Unknown, Host: "h", Summary: "s"}}, nil, "VX0105 unknown h: s\n", 3},
		{"all and one", "doctor --all blue", nil, nil, "", 2},
		{"fix all", "doctor --all --fix", nil, nil, "", 2},
		{"fix", "doctor --fix", broken, nil, printed, 2},
		{"fix another host", "doctor --fix host-b", nil, nil, "", 3},
		{"upgrade", "doctor --for podman=5.8", nil, nil, "nothing known changes for networks from podman 5.4.2 to 5.8\n", 0},
		{"upgrade that concerns", "doctor --for podman=6.0", nil, nil, upgradeToSix, 0},
		{"upgrade of netavark", "doctor --for netavark=2 --format {{.Concerns}}", nil, nil, "2\n", 0},
		{"upgrade to no version", "doctor --for podman=latest", nil, nil, "", 2},
		{"upgrade of what", "doctor --for docker=9", nil, nil, "", 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			c := Command(fakeHost{err: tt.err, findings: tt.findings}, "1", &out)
			c.SetErr(&bytes.Buffer{})
			c.SetArgs(strings.Fields(tt.args))
			err := c.Execute()
			if out.String() != tt.want || ExitCode(err) != tt.code {
				t.Errorf("%d (%v), printed\n%s", ExitCode(err), err, out.String())
			}
		})
	}
}

// Scripts rely on the fields of JSON.
func TestDoctorJSON(t *testing.T) {
	var out bytes.Buffer
	c := Command(fakeHost{findings: []diagnosis.Finding{{Code: "VX0401", Level: diagnosis.Failure, Host: "host-a", Network: "blue", Summary: "s", Evidence: []string{"e"}, Mend: []string{"m"}}}}, "1", &out)
	c.SetArgs([]string{"doctor", "--format", "json"})
	if err := c.Execute(); ExitCode(err) != 2 {
		t.Error(err)
	}
	const want = `{"schema":1,"hosts":["host-a"],"networks":["blue","red"],"checks":24,"level":"failure",` +
		`"findings":[{"code":"VX0401","level":"failure","host":"host-a","network":"blue","summary":"s","evidence":["e"],"mend":["m"]}]}`
	if got := strings.Join(strings.Fields(out.String()), ""); got != want {
		t.Errorf("printed %s", got)
	}
}

const upgradeToSix = `from podman 5.4.2 to 6.0:
  since podman 6.0: Podman 6 and netavark 2 need each other, and so do
  aardvark-dns 2 and buildah 1.44
    seen: netavark has the version 1.14.1
    mend: upgrade the packages podman, netavark and aardvark-dns together
  since podman 6.0: hosts with cgroups v1 are no longer supported
    nothing of it was found on this host
  since podman 6.0: netavark writes rules of nftables only: the firewall driver
  iptables is gone
    nothing of it was found on this host
  since podman 6.0: networks are strictly isolated from each other unless they
  have --opt isolate=false; this is decided when a container starts
    seen: without the option isolate: blue
    mend: vxlanctl network set blue isolate=false   # if its containers must reach those of other networks
  since podman 6.0: Podman's database BoltDB is no longer read: containers in it
  are moved to SQLite at a start of Podman, or are gone
    nothing of it was found on this host
  since podman 6.0: a container's networks are set up in the order in which they
  were typed: eth0, and with it the default route, may be another one
    nothing of it was found on this host
`

// Another host's agent says what is wrong there.
func TestFindingsAreSafeForTerminals(t *testing.T) {
	const text = "a\x1b[2J"
	var b strings.Builder
	writeFinding(&output.Printer{}, &b, diagnosis.Finding{
		Code: text, Level: diagnosis.Failure, Host: text, Network: text, Summary: text, Evidence: []string{text}, Mend: []string{text},
	})
	if strings.Contains(b.String(), "\x1b") || strings.Count(b.String(), "a\ufffd[2J") != 6 {
		t.Errorf("printed %q", b.String())
	}
}
