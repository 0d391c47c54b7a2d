package config

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Problem is what is wrong with a configuration.
type Problem struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"` // in the file; 0: it is of no line
	Key  string `json:"key,omitempty"`  // the setting
	Text string `json:"text"`
}

// Setting is a setting as it holds.
type Setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"` // the file, or "default"
}

// SourceDefault is the Source of what no file says.
const SourceDefault = "default"

// Check returns what is wrong with a configuration and the key file that it names.
func (f Files) Check() (problems []Problem, err error) {
	t, err := f.read()
	if err != nil {
		return nil, err
	}
	_, parseErr := t.Parse()
	for _, e := range split(parseErr) {
		problems = append(problems, f.locate(t, e))
	}
	return problems, nil
}

// split returns the errors that were joined.
func split(err error) (all []error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			all = append(all, split(e)...)
		}
		return all
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

var (
	syntaxProblem = regexp.MustCompile(`^line (\d+), ([A-Za-z0-9_-]*)`)
	namedProblem  = regexp.MustCompile(`^\[?([A-Za-z0-9_.-]+)`)
)

// locate finds the line of a problem: problems begin with the setting's name.
func locate(text, problem string) Problem {
	if m := syntaxProblem.FindStringSubmatch(problem); m != nil {
		line, _ := strconv.Atoi(m[1]) // it is a number
		_, said, _ := strings.Cut(problem, ", ")
		return Problem{Line: line, Key: m[2], Text: said}
	}
	p := Problem{Text: problem}
	if m := namedProblem.FindStringSubmatch(problem); m != nil {
		key := m[1][strings.LastIndexByte(m[1], '.')+1:] // a section is no part of what is typed
		assignment := regexp.MustCompile(`^\s*(\[\s*)?"?` + regexp.QuoteMeta(key) + `"?\s*[]=]`)
		for i, line := range strings.Split(text, "\n") {
			if assignment.MatchString(line) {
				p.Line, p.Key = i+1, m[1]
				break
			}
		}
	}
	return p
}

// trustSettings decide with whom an agent talks. Without one of them it would talk to others.
var trustSettings = []string{"bind", "key_file", "cluster", "etcd.endpoints", "etcd.ca", "etcd.cert", "etcd.key",
	"etcd.user", "etcd.password_file", "etcd.prefix"}

// LinesToDisable returns the lines of a bad configuration's Path that can be commented out, so that
// the rest is accepted. It returns nil if there are none, or if that would decide with whom the agent
// talks.
func (f Files) LinesToDisable() (lines []int) {
	t, err := f.read()
	if err != nil {
		return nil
	}
	typed := strings.Split(t.Main, "\n")
	_, parseErr := t.Parse()
	for _, e := range split(parseErr) {
		p := f.locate(t, e)
		if p.File != f.Path || p.Line == 0 || slices.Contains(trustSettings, p.Key) {
			return nil
		}
		if !slices.Contains(lines, p.Line) {
			lines = append(lines, p.Line)
			typed[p.Line-1] = "# " + typed[p.Line-1]
		}
	}
	t.Main = strings.Join(typed, "\n")
	if _, err := t.Parse(); err != nil {
		return nil
	}
	slices.Sort(lines)
	return lines
}

// Settings returns the settings as they hold, and where each comes from. It does not look into the
// key file.
func (f Files) Settings() ([]Setting, error) {
	t, err := f.read()
	if err != nil {
		return nil, err
	}
	c, err := t.ParseSettings()
	if err != nil {
		return nil, f.Explain(t, err)
	}
	inMain, inCluster := typedSettings(t.Main), typedSettings(t.Cluster)
	var all []Setting
	for _, s := range shown {
		source := SourceDefault
		if _, given := inCluster[s.name]; given {
			source = f.ClusterPath
		}
		if _, given := inMain[s.name]; given {
			source = f.Path
		}
		all = append(all, Setting{Name: s.name, Value: s.value(c), Source: source})
	}
	return all, nil
}

// shown are the settings, in the order of docs/user/config.md.
var shown = []struct {
	name  string
	value func(Config) string
}{
	{"bind", func(c Config) string { return addrText(c.Bind) }},
	{"port", func(c Config) string { return strconv.Itoa(int(c.Port)) }},
	{"key_file", func(c Config) string { return c.KeyFile }},
	{"cluster", func(c Config) string { return c.Cluster }},
	{"seeds", func(c Config) string { return addrPortsText(c.Seeds) }},
	{"forget_after", func(c Config) string { return c.ForgetAfter.String() }},
	{"log_level", func(c Config) string { return strings.ToLower(c.LogLevel.String()) }},
	{"dns_upstreams", func(c Config) string { return addrPortsText(c.Upstreams) }},
	{"metrics", func(c Config) string { return endpointText(c.Metrics) }},
	{"keep_running", func(c Config) string { return strconv.FormatBool(c.KeepRunning) }},
	{"join_port", func(c Config) string { return strconv.Itoa(int(c.JoinPort)) }},
	{"rotate_keys", func(c Config) string { return strconv.FormatBool(c.RotateKeys) }},
	{"ebpf", func(c Config) string { return strconv.FormatBool(c.EBPF) }},
	{"encryption_rotate_after", func(c Config) string { return c.EncryptionRotateAfter.String() }},
	{"allow_users", func(c Config) string { return strings.Join(c.AllowUsers, ",") }},
	{"etcd.endpoints", func(c Config) string { return strings.Join(c.Etcd.Endpoints, ",") }},
	{"etcd.ca", func(c Config) string { return c.Etcd.CA }},
	{"etcd.cert", func(c Config) string { return c.Etcd.Cert }},
	{"etcd.key", func(c Config) string { return c.Etcd.Key }},
	{"etcd.user", func(c Config) string { return c.Etcd.User }},
	{"etcd.password_file", func(c Config) string { return c.Etcd.PasswordFile }},
	{"etcd.prefix", func(c Config) string { return c.Etcd.Prefix }},
	{"etcd.dial_timeout", func(c Config) string { return c.Etcd.DialTimeout.String() }},
	{"etcd.request_timeout", func(c Config) string { return c.Etcd.RequestTimeout.String() }},
	{"etcd.lease", func(c Config) string { return c.Etcd.Lease.String() }},
	{"etcd.vni_range", func(c Config) string { return vniRangeText(c.Etcd.VNIs) }},
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func addrPortsText(all []netip.AddrPort) string {
	texts := make([]string, len(all))
	for i, ap := range all {
		texts[i] = ap.String()
	}
	return strings.Join(texts, ",")
}

// endpointText prints an endpoint as it is typed.
func endpointText(e Endpoint) string {
	if e.Network == "unix" {
		return unixPrefix + e.Address
	}
	return e.Address
}
