package main

import (
	"bytes"
	"cmp"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// programs are what a package brings.
var programs = []string{"vxlan", "vxland", "vxlanctl"}

// module is a Go module that is in a program.
type module struct {
	Path, Version string
	Sum           string   // h1:, as in go.sum
	Users         []string // programs that contain it
}

// standardLibrary stands for the part of Go's own library that a program contains.
const standardLibrary = "std"

// readModules returns the modules that the programs in a directory say they contain, ordered by
// path. The first is Go's own library.
func readModules(dir string) ([]module, error) {
	byPath := make(map[string]module)
	add := func(m module, program string) error {
		have, ok := byPath[m.Path]
		if ok && (have.Version != m.Version || have.Sum != m.Sum) {
			return fmt.Errorf("the programs in %s contain different versions of %s", dir, m.Path)
		}
		m.Users = append(have.Users, program)
		byPath[m.Path] = m
		return nil
	}
	for _, program := range programs {
		info, err := buildinfo.ReadFile(filepath.Join(dir, program))
		if err != nil {
			return nil, err
		}
		errs := []error{add(module{Path: standardLibrary, Version: info.GoVersion}, program)}
		for _, dep := range info.Deps {
			if dep.Replace != nil {
				dep = dep.Replace
			}
			errs = append(errs, add(module{Path: dep.Path, Version: dep.Version, Sum: dep.Sum}, program))
		}
		if err := errors.Join(errs...); err != nil {
			return nil, err
		}
	}
	var all []module
	for _, m := range byPath {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b module) int {
		isOther := func(m module) int { return min(len(strings.TrimPrefix(m.Path, standardLibrary)), 1) }
		return cmp.Or(isOther(a)-isOther(b), strings.Compare(a.Path, b.Path))
	})
	return all, nil
}

// licenceFiles are the names under which modules have their licences.
var licenceFiles = []string{"LICENSE*", "license*", "LICENCE*", "COPYING*", "NOTICE*", "PATENTS*"}

// writeLicences writes the licences of all modules. root is the driver's source.
func writeLicences(w io.Writer, root string, modules []module) error {
	dirs, err := moduleDirs(root, modules)
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "The programs of vxlan-driver contain the Go modules below. Their source is what `go mod "+
		"download MODULE@VERSION` fetches.")
	for _, m := range modules {
		fmt.Fprintf(w, "\n%s\n%s %s\n\n", strings.Repeat("=", 80), m.Path, m.Version)
		found := false
		for _, pattern := range licenceFiles {
			files, err := filepath.Glob(filepath.Join(dirs[m.Path], pattern))
			if err != nil {
				return err
			}
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err != nil {
					return err
				}
				found = true
				fmt.Fprintf(w, "%s:\n\n%s\n", filepath.Base(file), bytes.TrimSpace(text))
			}
		}
		if !found {
			return fmt.Errorf("module %s has no licence in %s", m.Path, dirs[m.Path])
		}
	}
	return nil
}

// moduleDirs finds the modules' source, by path.
func moduleDirs(root string, modules []module) (map[string]string, error) {
	goRoot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("find Go's library: %w", err)
	}
	dirs := map[string]string{standardLibrary: strings.TrimSpace(string(goRoot))}
	args := []string{"mod", "download", "-json"}
	for _, m := range modules {
		if m.Path != standardLibrary {
			args = append(args, m.Path+"@"+m.Version)
		}
	}
	download := exec.Command("go", args...)
	download.Dir = root
	out, err := download.Output()
	if err != nil {
		return nil, fmt.Errorf("find the modules' source: %w: %s", err, out)
	}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var found struct{ Path, Dir string }
		if err := decoder.Decode(&found); errors.Is(err, io.EOF) {
			return dirs, nil
		} else if err != nil {
			return nil, err
		}
		dirs[found.Path] = found.Dir
	}
}
