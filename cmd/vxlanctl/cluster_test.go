package main

import (
	"encoding/json"
	"errors"
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
	silent.Err = errors.New("does not answer")
	here, others, err := sortDefinitions([]agentapi.HostAnswer{
		answer("a", true, `[{"name": "blue"}]`), answer("b", false, `[{"name": "good"}, {"name": "\u001b[2J"}]`),
		answer("c", false, `[{"name": "red"}]`), silent, answer("e", false, `{}`),
	})
	if len(here) != 1 || here[0].Name != "blue" || len(others) != 1 || others[0].Name != "red" {
		t.Errorf("got %v here, %v on other hosts", here, others)
	}
	if err == nil || !strings.Contains(err.Error(), "host b") || !strings.Contains(err.Error(), "host e") || strings.Contains(err.Error(), "host d") {
		t.Errorf("got error %v", err)
	}
}
