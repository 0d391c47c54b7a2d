package version

import (
	"runtime/debug"
	"testing"
)

func TestVersionRecordedByGoCommand(t *testing.T) {
	setting := func(key, value string) debug.BuildSetting { return debug.BuildSetting{Key: key, Value: value} }
	revision := setting("vcs.revision", "0123456789abcdef0123456789abcdef01234567")
	tests := []struct {
		name string
		info *debug.BuildInfo
		want string
	}{
		{"no build information", nil, ""},
		{"module of a release", &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, "v1.2.3"},
		{"commit", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: []debug.BuildSetting{revision, setting("vcs.modified", "false")}}, "0123456789ab"},
		{"commit with local changes", &debug.BuildInfo{Settings: []debug.BuildSetting{revision, setting("vcs.modified", "true")}}, "0123456789ab-dirty"},
		{"built without version control", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: []debug.BuildSetting{setting("vcs.modified", "true")}}, ""},
	}
	for _, tt := range tests {
		if got := recordedVersion(tt.info); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestLinkedVersionComesFirst(t *testing.T) {
	defer func(before string) { linked = before }(linked)
	if linked = ""; String() == "" {
		t.Error("no version at all")
	}
	if linked = "v1.2.3-4-gabcdef0-dirty"; String() != linked {
		t.Errorf("got %q, want %q", String(), linked)
	}
}
