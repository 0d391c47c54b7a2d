package ctl

import (
	"bytes"
	"strings"
	"testing"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/diagnosis"
)

// On a terminal of 80 columns sentences are wrapped. Commands to copy are not.
func TestTextFitsTheTerminal(t *testing.T) {
	const long = "a sentence that says what is wrong and is longer than a terminal is wide, as many are"
	p := &output.Printer{Width: 80}
	var found strings.Builder
	writeFinding(p, &found, diagnosis.Finding{Code: "VX0106", Level: diagnosis.Failure, Host: "host-b", Network: "blue", Summary: long, Evidence: []string{long}, Mend: []string{"cp " + long}})
	if !strings.Contains(found.String(), "    mend: cp "+long+"\n") {
		t.Errorf("the command is not whole:\n%s", found.String())
	}
	found.WriteString(inspectText(p, agentapi.NetworkInventory{Name: "blue", ID: strings.Repeat("7c", 32), VNI: 100}, []string{long}))
	path := Path{From: "web", To: "db", Host: "host-a (198.18.0.1)", ToHost: "host-b (198.18.0.2)", Network: "blue"}
	hops := []agentapi.TraceEvent{{Chain: "inet vxlan-driver output", Comment: long, Verdict: "accept"}}
	var out bytes.Buffer
	for _, print := range []func() error{
		func() error { return printTrace(p, &out, Trace{Path: path, Here: hops, There: hops, Outcome: long}) },
		func() error {
			return printPing(p, &out, PingResult{Path: path, Sent: 1, Way: "through the tunnel to host host-b (198.18.0.2)"})
		},
	} {
		if err := print(); err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(found.String() + out.String()) {
		if width := output.Width(strings.TrimSuffix(line, "\n")); width > 80 && !strings.HasPrefix(line, "    mend: ") {
			t.Errorf("%d columns: %s", width, line)
		}
	}
}
