package config

import (
	"cmp"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

const packagedFile = "../../packaging/vxland.toml"

// setting is a line of the packaged file that is a setting, but for the # before it.
var setting = regexp.MustCompile(`(?m)^#(\w+) = .*$`)

// The packaged file sets nothing. It has each setting, with its default or else an example.
func TestPackagedFileHasEverySetting(t *testing.T) {
	text, err := os.ReadFile(packagedFile)
	if err != nil {
		t.Fatal(err)
	}
	defaults, err := Parse("")
	if err != nil {
		t.Fatal(err)
	}
	if c, err := Parse(string(text)); err != nil || !reflect.DeepEqual(c, defaults) {
		t.Errorf("the file as it is: %v, %+v", err, c)
	}
	lines := make(map[string]string)
	for _, m := range setting.FindAllStringSubmatch(string(text), -1) {
		lines[m[1]] = m[0][1:]
	}
	if len(lines) != len(shown) {
		t.Errorf("%s has %d settings, the configuration %d", packagedFile, len(lines), len(shown))
	}
	for _, s := range shown {
		_, inSection, _ := strings.Cut(s.name, "etcd.")
		key := cmp.Or(inSection, s.name)
		checkPackagedSetting(t, string(text), s.name, lines[key], defaults)
	}
}

// checkPackagedSetting: the line is right, and the text above it says so if it is not the default.
func checkPackagedSetting(t *testing.T, text, key, line string, defaults Config) {
	t.Helper()
	above, _, found := strings.Cut(text, "\n#"+line+"\n")
	if line == "" || !found {
		t.Errorf("%s does not have %s", packagedFile, key)
		return
	}
	section, _, _ := strings.Cut(key, ".")
	if section == "etcd" {
		line = "[etcd]\n" + line
	}
	c, err := ParseSettings(line)
	// Some need others too.
	if err != nil && key != "bind" && !strings.Contains(err.Error(), "endpoints: is required") {
		t.Errorf("%s: %v", line, err)
	}
	above = above[strings.LastIndex(above, "\n\n"):]
	isExample := strings.Contains(above, "Default: ") && strings.HasSuffix(above, " Example:")
	if isDefault := reflect.DeepEqual(c, defaults); isDefault == isExample {
		t.Errorf("%s: default: %v; the text above says\n%s", line, isDefault, above)
	}
}
