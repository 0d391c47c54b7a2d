package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vxland.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Each problem names its line and its setting.
func TestCheckNamesLines(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", "[]"},
		{"# all is commented\n#port = 0\n", "[]"},
		{"cluster = \"a\"\n\nport = 0\nprot = 1\n", "[4 prot 3 port]"},
		{"log_level = \"loud\"", "[1 log_level]"},
		{"port = \"7947\"\n", "[1 port]"},
		{"port = 7947\nseeds = [\"x\", \"y\"]\n", "[2 seeds 2 seeds]"},
		{"cluster = \"a\"\nkey_file = \"/absent\"\n", "[2 key_file]"},
		{"[agent]\nport = 1\n", "[1 agent 2 agent.port]"},
		{"port = \n", "[1 port]"},
		{"PORT = 7000\n\"port\" = 7000\n", "[1 PORT]"},
		{"key_file = \"key\"\n", "[1 key_file 1 key_file]"},
		{"bind = \"198.18.0.1\"\n", "[1 bind]"},
	}
	for _, tt := range tests {
		problems, err := Files{Path: writeConfig(t, tt.text), Required: true}.Check()
		var got []string
		for _, p := range problems {
			got = append(got, fmt.Sprint(p.Line, " ", p.Key))
		}
		if text := fmt.Sprint(got); err != nil || text != tt.want {
			t.Errorf("%q: %v: %s, want %s: %+v", tt.text, err, text, tt.want, problems)
		}
	}
	absent := filepath.Join(t.TempDir(), "absent")
	if problems, err := (Files{Path: absent}).Check(); err != nil || len(problems) > 0 {
		t.Errorf("no file: %v, %v", problems, err)
	}
	if _, err := (Files{Path: absent, Required: true}).Check(); err == nil {
		t.Error("a file that was named may be absent")
	}
}

// What is commented out leaves a configuration that is accepted, and never one that trusts others.
func TestLinesToDisable(t *testing.T) {
	for text, want := range map[string]string{
		"port = 7947\n": "[]",
		"cluster = \"a\"\n\nport = 0\nprot = 1\n":       "[3 4]",
		"port = \"7947\"\n":                             "[1]",
		"seeds = [\"x\", \"y\"]\n":                      "[1]",
		"seeds = [\n \"x\"\n]\n":                        "[]",
		"key_file = \"/absent\"\n":                      "[]",
		"prot = 1\nkey_file = \"/absent\"\n":            "[]",
		"keep_running = true\n":                         "[1]",
		"[agent]\nport = 1\n":                           "[1 2]",
		"log_level = \"loud\"\nbind = \"198.18.0.1\"\n": "[]",
	} {
		if got := fmt.Sprint(FilesAt(writeConfig(t, text)).LinesToDisable()); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// Every setting is shown, and none that there is not.
func TestSettingsAreAll(t *testing.T) {
	var names, shownNames []string
	for field := range reflect.TypeFor[rawConfig]().Fields() {
		name := field.Tag.Get("toml")
		if field.Type.Kind() != reflect.Struct {
			names = append(names, name)
			continue
		}
		for inSection := range field.Type.Fields() {
			names = append(names, name+"."+inSection.Tag.Get("toml"))
		}
	}
	for _, s := range shown {
		shownNames = append(shownNames, s.name)
	}
	if !slices.Equal(names, shownNames) {
		t.Errorf("there are %q, and %q are shown", names, shownNames)
	}
	settings, err := FilesAt(writeConfig(t, "port = 7000\nseeds = [\"198.18.0.1\"]\n")).Settings()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings {
		isGiven := s.Name == "port" && s.Value == "7000" || s.Name == "seeds" && s.Value == "198.18.0.1:7000"
		if (s.Source != SourceDefault) != isGiven {
			t.Errorf("%+v", s)
		}
	}
}
