package calls

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
)

func TestServeAnswersEachOrder(t *testing.T) {
	orders := `{"Exec": {"Argv": ["/bin/true"]}} {"Exec": {"Argv": ["/bin/sh", "-c", "echo why >&2; exit 3"]}} {}
		{"Open": {"Network": {"name": "n"}, "Subnet": "10.0.0.0/24"}}`
	var out bytes.Buffer
	if err := Serve(strings.NewReader(orders), &out); err != nil {
		t.Fatal(err)
	}
	answers := json.NewDecoder(&out)
	for i, want := range []string{"", "why", "empty order", "10.0.0.0/24"} {
		var a Answer
		if err := answers.Decode(&a); err != nil {
			t.Fatal(err)
		}
		if (a.Error == "") != (want == "") || !strings.Contains(a.Error, want) {
			t.Errorf("answer %d: error %q, want %q", i, a.Error, want)
		}
		if i == 0 && a.Exec.Wall <= 0 {
			t.Error("a process took no time")
		}
	}
	if err := Serve(strings.NewReader("no JSON"), &out); err == nil {
		t.Error("nonsense was carried out")
	}
}

func TestContainersShareNothing(t *testing.T) {
	subnet := netip.MustParsePrefix("10.66.0.0/16")
	seen := map[any]int{}
	for number := range 600 {
		c := container{number: number, ports: 5}
		addr := c.addr(subnet)
		if !subnet.Contains(addr) || addr == netip.MustParseAddr("10.66.0.1") {
			t.Fatalf("address %s", addr)
		}
		keys := []any{addr, c.id()}
		for _, m := range c.mappings() {
			keys = append(keys, m.HostPort)
		}
		for _, key := range keys {
			if other, taken := seen[key]; taken {
				t.Fatalf("containers %d and %d share %v", other, number, key)
			}
			seen[key] = number
		}
	}
}

func TestParsePeak(t *testing.T) {
	got, err := parsePeak("Name:\tvxlan\nVmPeak:\t 1225000 kB\nVmHWM:\t    3304 kB\nVmRSS:\t 3000 kB\n")
	if err != nil || got != 3304*1024 {
		t.Errorf("got %d, %v", got, err)
	}
	if _, err := parsePeak("Name:\tsleep\nState:\tZ (zombie)\n"); err == nil {
		t.Error("a process that has ended has a peak")
	}
}
