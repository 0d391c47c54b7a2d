package ctl

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfigCommands(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.toml"), filepath.Join(dir, "bad.toml")
	for path, text := range map[string]string{good: "port = 7000\n", bad: "# mine\nprot = 7000\nport = 0\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		args string
		code int
		want string
	}{
		{"check " + good, 0, good + " is valid\n"},
		{"check " + bad, 1, bad + ":2: prot: is unknown; "},
		{"check " + bad, 1, bad + ":3: port 0: must be from 1 to 65535\n"},
		{"check -q " + bad, 1, ""},
		{"check --format json " + bad, 1, `"line": 2,`},
		{"check " + dir + "/absent", 1, "check configuration: read configuration: "},
		{"show " + good, 0, "port                     7000         " + good + "\n"},
		{"show -q --filter source!=default " + good, 0, "port\n"},
		{"show " + bad, 1, "show configuration: configuration " + bad},
		{"check a b", 2, "the argument \"b\" is one too many"},
	}
	for _, tt := range tests {
		out, err := run(fakeHost{}, append([]string{"config"}, strings.Fields(tt.args)...)...)
		if err != nil && !IsPrinted(err) {
			out += err.Error()
		}
		if ExitCode(err) != tt.code || !strings.Contains(out, tt.want) {
			t.Errorf("%s: ends with %d, printed\n%s", tt.args, ExitCode(err), out)
		}
	}
}
