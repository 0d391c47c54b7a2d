package ctl

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// completeHost has a network with a list of hosts.
type completeHost struct{ fakeHost }

func (h completeHost) DefinedNetworks() ([]DefinedNetwork, error) {
	all, err := h.fakeHost.DefinedNetworks()
	all[0].Options = map[string]string{"remote_ips": "198.18.0.1,198.18.0.2"}
	return all, err
}

// Names of what is there are completed: containers, hosts, networks, addresses.
func TestLiveNamesAreCompleted(t *testing.T) {
	tests := []struct{ typed, want string }{
		{"ping ", "db lost soon web host-b host-c host-x"},
		{"ping --from ", "web"},
		{"ping db ", ""},
		{"trace ", "web"},
		{"trace web ", "db lost soon web"},
		{"trace web db ", ""},
		{"drops -f ", "blue red"},
		{"capture ", "blue red"},
		{"wait host ", "host-b host-c"},
		{"wait network ", "blue idle red"},
		{"wait names ", "db web www"},
		{"names ", "db web www"},
		{"key rotate --without ", "host-b host-c"},
		{"doctor ", "blue host-b host-c"},
		{"doctor --for ", "podman= netavark="},
		{"network inspect ", "blue idle red"},
		{"network peer remove blue ", "198.18.0.1 198.18.0.2"},
		{"network peer add blue ", ""},
		{"network adopt ", "green quiet"},
		{"host forget ", "198.18.0.3 host-c"},
		{"endpoints ", "blue red"},
		{"address show ", "blue red"},
		{"reload ", ""},
		{"join ", ""},
	}
	for _, tt := range tests {
		out, err := run(completeHost{}, append([]string{"__complete"}, strings.Split(tt.typed, " ")...)...)
		names, rest, _ := strings.Cut(out, ":")
		directive, _, _ := strings.Cut(rest, "\n")
		isFile := directive == "0"
		if got := strings.Join(strings.Fields(names), " "); err != nil || got != tt.want || isFile {
			t.Errorf("%q: %v, completed by %q, by files %t", tt.typed, err, got, isFile)
		}
	}
}

// No argument is completed by files but a file.
func TestEveryCommandIsCompleted(t *testing.T) {
	takesFile := []string{"vxlanctl config check", "vxlanctl config show"}
	for _, path := range leafCommands(Command(fakeHost{}, "1", io.Discard)) {
		c, _, err := Command(fakeHost{}, "1", io.Discard).Find(strings.Fields(path)[1:])
		if err != nil || c.ValidArgsFunction == nil {
			t.Errorf("%s: %v; it completes by files", path, err)
			continue
		}
		if slices.Contains(takesFile, path) {
			if _, directive := c.ValidArgsFunction(c, nil, ""); directive != cobra.ShellCompDirectiveFilterFileExt {
				t.Errorf("%s does not complete by files", path)
			}
		}
	}
}
