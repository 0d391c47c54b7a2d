package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vxlan-driver/internal/agent"
	"vxlan-driver/internal/config"
)

// An agent that is told to end while it starts anew ends.
func TestSignalEndsAnAgentThatRestarts(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	for _, tt := range []struct {
		ctx  context.Context
		err  error
		want bool
	}{
		{t.Context(), agent.ErrRestart, true},
		{t.Context(), agent.ErrFilesLost, true},
		{t.Context(), errors.New("accept: no"), false},
		{t.Context(), nil, false},
		{ended, agent.ErrRestart, false},
		{ended, agent.ErrFilesLost, false},
	} {
		if got := shouldRestart(tt.ctx, tt.err); got != tt.want {
			t.Errorf("%v, after a signal: %v: starts anew: %v", tt.err, tt.ctx.Err() != nil, got)
		}
	}
}

// A changed configuration is a reason to start anew. That the key is gone from it is said, since the
// agent's messages are not encrypted then.
func TestConfigChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vxland.toml")
	for _, tt := range []struct {
		name string
		key  string // that the agent has
		text string
		want string // a part
	}{
		{"unchanged", "", "", ""},
		{"another level", "", "log_level = \"debug\"\n", "was changed after it had started"},
		{"no key any more", "/absent/key", "", "names no key_file any more"},
		{"another key file", "/absent/key", "key_file = \"/absent/other\"\n", "was changed after it had started"},
		{"invalid", "", "prot = 1\n", "is invalid now"},
	} {
		defaults, err := config.ParseSettings("")
		if err == nil {
			err = os.WriteFile(path, []byte(tt.text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		defaults.KeyFile = tt.key
		got := (&process{options: options{config: path}, config: defaults}).ConfigChange()
		if !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
