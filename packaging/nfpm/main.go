package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// build says what is to be packaged.
type build struct {
	root     string // the driver's source
	programs string // has a directory of programs for each architecture
	out      string
	version  string // as a package manager wants it
	date     time.Time
	archs    []string // in Go's words
	formats  []string // in nfpm's words
}

func main() {
	b, err := parseFlags(os.Args[1:])
	if err == nil {
		err = b.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "nfpm:", err)
		os.Exit(1)
	}
}

func parseFlags(args []string) (build, error) {
	flags := flag.NewFlagSet("nfpm", flag.ExitOnError)
	root := flags.String("root", "../..", "directory of the driver's source")
	programs := flags.String("programs", "", "directory with a directory of programs for each architecture")
	out := flags.String("out", "", "directory for the packages")
	version := flags.String("version", "", "version, as git describe tells it")
	date := flags.Int64("date", 0, "time of all files, in seconds since 1970")
	archs := flags.String("arch", "amd64,arm64", "architectures, separated by commas")
	formats := flags.String("format", "deb,rpm,archlinux", "formats, separated by commas")
	_ = flags.Parse(args)
	if *programs == "" || *out == "" || *version == "" || *date <= 0 {
		return build{}, errors.New("-programs, -out, -version and -date are required")
	}
	b := build{
		date:  time.Unix(*date, 0).UTC(),
		archs: strings.Split(*archs, ","), formats: strings.Split(*formats, ","),
	}
	b.version = packageVersion(*version, b.date)
	var errs [3]error
	b.root, errs[0] = filepath.Abs(*root)
	b.programs, errs[1] = filepath.Abs(*programs)
	b.out, errs[2] = filepath.Abs(*out)
	return b, errors.Join(errs[:]...)
}

// run replaces what is in the output directory.
func (b build) run() error {
	if err := errors.Join(os.RemoveAll(b.out), os.MkdirAll(b.out, 0o755)); err != nil {
		return err
	}
	for _, arch := range b.archs {
		if err := b.runArch(arch); err != nil {
			return fmt.Errorf("package for %s: %w", arch, err)
		}
	}
	return writeSums(b.out)
}

func (b build) runArch(arch string) error {
	modules, err := readModules(filepath.Join(b.programs, arch))
	if err != nil {
		return err
	}
	if err := b.writeBOM(arch, modules); err != nil {
		return err
	}
	if err := b.writeDocs(modules); err != nil {
		return err
	}
	for _, format := range b.formats {
		if err := b.writePackage(format, arch); err != nil {
			return fmt.Errorf("%s: %w", format, err)
		}
	}
	return nil
}
