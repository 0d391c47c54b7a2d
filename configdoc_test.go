package vxlandriver

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"vxlan-driver/internal/config"
)

const configDoc = "docs/user/config.md"

// configRow is a row of the table of keys: key, type, default.
var configRow = regexp.MustCompile("(?m)^\\| \\[`(\\w+)`\\]\\(#\\w+\\) \\| (.*) \\| (.*) \\|$")

// The page about vxland.toml has each key, and its example is a configuration that is right.
func TestEachConfigurationKeyIsDocumented(t *testing.T) {
	page := readFile(t, configDoc)
	rows := configRow.FindAllStringSubmatch(page, -1)
	// Each key sets one field.
	if fields := reflect.TypeFor[config.Config]().NumField(); len(rows) != fields {
		t.Errorf("%s has %d keys, the configuration %d", configDoc, len(rows), fields)
	}
	_, example, _ := strings.Cut(page, "```toml\n")
	example, _, _ = strings.Cut(example, "```")
	for _, row := range rows {
		if !strings.Contains(page, "\n## `"+row[1]+"`\n") || !strings.Contains("\n"+example, "\n"+row[1]+" = ") &&
			!strings.Contains(example, "\n["+row[1]+"]\n") {
			t.Errorf("%s: key %s has no section, or is not in the example", configDoc, row[1])
		}
	}
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(strings.Repeat("1f", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Parse(strings.Replace(example, "/etc/vxlan/key", key, 1)); err != nil {
		t.Errorf("the example of %s: %v", configDoc, err)
	}
}

// The defaults and ranges of the page are those of the program.
func TestConfigurationDefaultsAndRanges(t *testing.T) {
	defaults, err := config.Parse("")
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string][]string)
	for _, row := range configRow.FindAllStringSubmatch(readFile(t, configDoc), -1) {
		rows[row[1]] = row[2:]
	}
	for key, want := range map[string]string{
		"port":         fmt.Sprintf("`%d`", defaults.Port),
		"cluster":      fmt.Sprintf("`%q`", defaults.Cluster),
		"forget_after": fmt.Sprintf("`\"%.0fh\"`", defaults.ForgetAfter.Hours()),
		"log_level":    fmt.Sprintf("`%q`", strings.ToLower(defaults.LogLevel.String())),
	} {
		if row := rows[key]; len(row) != 2 || row[1] != want {
			t.Errorf("%s: %s has %q, want the default %s", configDoc, key, row, want)
		}
	}
	for _, tt := range []struct {
		key, says     string // what the page says of it
		right, faulty []string
	}{
		{"port", "number, 1–65535", []string{"1", "65535"}, []string{"0", "65536"}},
		{"cluster", "text, at most 64 bytes", []string{quoted(64)}, []string{quoted(65)}},
		{"forget_after", "time, `\"1m\"` to `\"87600h\"`", []string{`"1m"`, `"87600h"`}, []string{`"59s"`, `"87601h"`}},
		{"log_level", "`\"debug\"`, `\"info\"`, `\"warn\"` or `\"error\"`", []string{`"debug"`, `"error"`}, []string{`"loud"`}},
	} {
		if row := rows[tt.key]; len(row) != 2 || row[0] != tt.says {
			t.Errorf("%s: %s has %q, want %s", configDoc, tt.key, row, tt.says)
		}
		for _, v := range tt.right {
			if _, err := config.Parse(tt.key + " = " + v); err != nil {
				t.Errorf("%s = %s: %v", tt.key, v, err)
			}
		}
		for _, v := range tt.faulty {
			if _, err := config.Parse(tt.key + " = " + v); err == nil {
				t.Errorf("%s = %s is accepted", tt.key, v)
			}
		}
	}
}

func quoted(n int) string { return `"` + strings.Repeat("x", n) + `"` }
