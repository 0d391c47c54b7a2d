package main

import (
	"os/exec"
	"testing"
	"time"
)

var anyDate = time.Date(2026, 11, 29, 8, 58, 18, 0, time.UTC)

func TestPackageVersion(t *testing.T) {
	for describe, want := range map[string]string{
		"v1.2.3":              "1.2.3",
		"1.2":                 "1.2",
		"v1.2.3-rc.1":         "1.2.3~rc.1",
		"v1.2.3-4-gabcdef0":   "1.2.3+4.gabcdef0",
		"v1.2.3-dirty":        "1.2.3+0.dirty",
		"v1.2.3-4-gab1-dirty": "1.2.3+4.gab1.dirty",
		"36cca0c":             "0.0.0+git20261129085818.36cca0c",
		"36cca0c-dirty":       "0.0.0+git20261129085818.36cca0c.dirty",
		"nightly-7-g36cca0c":  "0.0.0+git20261129085818.nightly.7.g36cca0c",
	} {
		if got := packageVersion(describe, anyDate); got != want {
			t.Errorf("%s: got %s, want %s", describe, got, want)
		}
	}
}

// Each is an upgrade of the one before.
func TestPackageVersionsAreOrdered(t *testing.T) {
	dpkg, err := exec.LookPath("dpkg")
	if err != nil {
		t.Skip("dpkg is not installed")
	}
	var last string
	for i, describe := range []string{"ffffffff", "36cca0c", "v0.1.0-rc.1", "v0.1.0", "v0.1.0-dirty", "v0.1.0-1-gabcdef0", "v0.1.0-12-g0000000", "v0.1.1"} {
		version := packageVersion(describe, anyDate.Add(time.Duration(i)*time.Hour))
		if last != "" && exec.Command(dpkg, "--compare-versions", last, "lt", version).Run() != nil {
			t.Errorf("%s does not sort after %s", version, last)
		}
		last = version
	}
}
