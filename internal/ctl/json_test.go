package ctl

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// jsonCommands are all commands that print JSON of what a host has.
var jsonCommands = []string{
	"status", "status --all", "host ls", "network ls", "network inspect blue", "endpoints", "names", "conflicts", "fdb", "topology",
	"address show blue", "address check 10.0.0.8", "config check", "config show", "explain", "explain VX0301",
}

// Scripts rely on the fields. One that goes or changes its type needs another schema; one that comes
// is added to the file: go test ./internal/ctl -update.
func TestJSONFields(t *testing.T) {
	var b strings.Builder
	for _, args := range jsonCommands {
		out, err := run(fakeHost{}, append(strings.Fields(args), "--format", "json")...)
		if err != nil && !IsPrinted(err) {
			t.Fatalf("%s: %v", args, err)
		}
		var document map[string]any
		if err := json.Unmarshal([]byte(out), &document); err != nil {
			t.Fatalf("%s: %v\n%s", args, err, out)
		}
		if document["schema"] != 1.0 {
			t.Errorf("%s: schema %v", args, document["schema"])
		}
		fmt.Fprintf(&b, "vxlanctl %s\n", args)
		fields := make(map[string]bool)
		collectFields("", document, fields)
		for _, f := range slices.Sorted(maps.Keys(fields)) {
			fmt.Fprintf(&b, "  %s\n", f)
		}
	}
	const golden = "testdata/json-fields.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the fields are\n%s", b.String())
	}
}

// collectFields notes the paths of all fields, with their types.
func collectFields(path string, v any, fields map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if strings.ContainsAny(key, ".:") { // an address, not a field
				key = "ADDRESS"
			}
			collectFields(strings.TrimPrefix(path+"."+key, "."), value, fields)
		}
	case []any:
		if len(v) == 0 {
			fields[path+"[]"] = true
		}
		for _, value := range v {
			collectFields(path+"[]", value, fields)
		}
	default:
		fields[fmt.Sprintf("%s %T", path, v)] = true
	}
}

// Lists of many kinds are filtered, printed by templates and without headings alike.
func TestListFlags(t *testing.T) {
	for _, args := range []string{"host ls", "network ls", "endpoints", "names", "conflicts", "fdb", "address show blue", "config show", "explain"} {
		words := strings.Fields(args)
		table, err := run(fakeHost{}, append(words, "--no-trunc")...)
		if err != nil || !strings.Contains(table, "\n") {
			t.Errorf("%s: %v", args, err)
			continue
		}
		heading, rest, _ := strings.Cut(table, "\n")
		if plain, err := run(fakeHost{}, append(words, "--noheading")...); err != nil || plain != rest {
			t.Errorf("%s --noheading: %v\n%s", args, err, plain)
		}
		column := strings.ToLower(strings.Fields(heading)[0])
		if none, err := run(fakeHost{}, append(words, "-q", "--filter", column+"=no-such-thing")...); err != nil || none != "" {
			t.Errorf("%s -q --filter: %v, %s", args, err, none)
		}
		if objects, err := run(fakeHost{}, append(words, "--format", "{{json .}}")...); err != nil || !strings.HasPrefix(objects, "{") {
			t.Errorf("%s --format: %v, %s", args, err, objects)
		}
		if _, err := run(fakeHost{}, append(words, "--filter", "colour=red")...); ExitCode(err) != 2 {
			t.Errorf("%s --filter of no column: %v", args, err)
		}
	}
}
