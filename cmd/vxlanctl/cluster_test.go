package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"vxlan-driver/internal/agentapi"
)

func TestUnusableDefinitionsHideNoOthers(t *testing.T) {
	answer := func(host string, self bool, data string) agentapi.HostAnswer {
		return agentapi.HostAnswer{
			Host: agentapi.HostStatus{Name: host, Self: self}, Response: agentapi.Response{Data: json.RawMessage(data)},
		}
	}
	silent := answer("d", false, "")
	silent.Err = errors.New("host d is unreachable")
	known := sortDefinitions([]agentapi.HostAnswer{
		answer("a", true, `[{"name": "blue"}]`), answer("b", false, `[{"name": "good"}, {"name": "\u001b[2J"}]`),
		answer("c", false, `[{"name": "red"}]`), silent, answer("e", false, `{}`),
		{Host: agentapi.HostStatus{Name: "f"}, Err: fmt.Errorf("host f: %w", agentapi.ErrCannotBeAsked)},
	})
	here, others := known.Here, known.Others
	if len(here) != 1 || here[0].Name != "blue" || len(others) != 1 || others[0].Name != "red" ||
		others[0].Label != "c" || known.Hosts != 4 {
		t.Errorf("got %+v", known)
	}
	for i, want := range []string{"networks of host b: ", "host d is unreachable", "networks of host e: "} {
		if len(known.Unknown) != 3 || !strings.HasPrefix(known.Unknown[i], want) {
			t.Errorf("unknown is %q", known.Unknown)
		}
	}
}
