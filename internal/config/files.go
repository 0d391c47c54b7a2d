package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/BurntSushi/toml"

	"vxlan-driver/internal/regfile"
)

const (
	// Path is the configuration file, which is the administrator's alone.
	Path = "/etc/vxlan/vxland.toml"
	// ClusterPath is the file of vxlanctl, which makes the host a member of a cluster. It is a file
	// of its own, so that package managers find Path as it was shipped and need not ask about it.
	ClusterPath = "/etc/vxlan/cluster.toml"
)

// Files are where a configuration is. What Path says takes precedence.
type Files struct {
	Path        string
	Required    bool   // Path must exist
	ClusterPath string // "": there is none
}

// FilesAt returns the files of an agent that is given a configuration file: the cluster's is beside
// it. The usual one need not exist.
func FilesAt(path string) Files {
	cluster := filepath.Join(filepath.Dir(path), filepath.Base(ClusterPath))
	return Files{Path: path, Required: path != Path, ClusterPath: cluster}
}

// Load reads the configuration, and checks the key file that it names. Without files all defaults
// hold.
func (f Files) Load() (Config, error) { return f.load(Texts.Parse) }

// LoadSettings is Load without the key file, which may change while an agent runs.
func (f Files) LoadSettings() (Config, error) { return f.load(Texts.ParseSettings) }

func (f Files) load(parse func(Texts) (Config, error)) (Config, error) {
	t, err := f.read()
	if err != nil {
		return Config{}, err
	}
	c, err := parse(t)
	if err != nil {
		return Config{}, f.Explain(t, err)
	}
	return c, nil
}

// Texts are what the files have.
type Texts struct{ Main, Cluster string }

func (f Files) read() (t Texts, err error) {
	if t.Main, err = readText(f.Path, f.Required); err != nil || f.ClusterPath == "" {
		return t, err
	}
	t.Cluster, err = readText(f.ClusterPath, false)
	return t, err
}

func readText(path string, required bool) (string, error) {
	data, err := regfile.ReadText(path)
	if errors.Is(err, fs.ErrNotExist) && !required {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read configuration: %w", err)
	}
	return string(data), nil
}

// ExplainValid says of a valid configuration where it is.
func (f Files) ExplainValid() string {
	for _, path := range []string{f.Path, f.ClusterPath} {
		if _, err := os.Stat(path); err == nil {
			return path + " is valid"
		}
	}
	return f.Path + " does not exist; all defaults hold"
}

// clusterFileError is an error of the cluster's file itself.
type clusterFileError struct{ error }

func inClusterFile(err error) error {
	var all []error
	for _, e := range split(err) {
		all = append(all, clusterFileError{e})
	}
	return errors.Join(all...)
}

// Explain says which errors are in which file.
func (f Files) Explain(t Texts, err error) error {
	inFile := make(map[string][]error)
	for _, e := range split(err) {
		file := f.locate(t, e).File
		inFile[file] = append(inFile[file], e)
	}
	var all []error
	for _, file := range []string{f.Path, f.ClusterPath} {
		if errs := inFile[file]; len(errs) > 0 {
			all = append(all, fmt.Errorf("configuration %s:\n%w", file, errors.Join(errs...)))
		}
	}
	return errors.Join(all...)
}

// locate finds file and line of a problem.
func (f Files) locate(t Texts, err error) Problem {
	inMain, inCluster := locate(t.Main, err.Error()), locate(t.Cluster, err.Error())
	inMain.File, inCluster.File = f.Path, f.ClusterPath
	_, isInCluster := errors.AsType[clusterFileError](err)
	if isInCluster || inMain.Line == 0 && inCluster.Line > 0 {
		return inCluster
	}
	return inMain
}

// typedSettings are those that a text has. It has been parsed before.
func typedSettings(text string) map[string]any {
	typed := make(map[string]any)
	_, _ = toml.Decode(text, &typed)
	if section, ok := typed["etcd"].(map[string]any); ok {
		for key, value := range section {
			typed["etcd."+key] = value
		}
	}
	return typed
}
