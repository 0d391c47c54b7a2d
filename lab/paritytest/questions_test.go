package paritytest

import (
	"slices"
	"strings"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// noAnswer says that no answer is expected.
const noAnswer = "none"

// question is a request from one end to another, and the expected answer.
type question struct {
	from string // a host, a container of host-a, or CONTAINER@HOST
	to   string // PROTOCOL/ADDRESS:PORT
	want string // "web:80 from 10.0.0.1", a beginning of it such as "web:80", or none
}

// checkAnswers sends the requests, and reports each answer that is not as expected. What is dropped
// is waited for at all sources at once, and after the rest, whose answers then are no load.
func (s *scene) checkAnswers(questions ...question) {
	s.Helper()
	from := distinctSources(questions)
	labtest.Each(s.T, from, func(from string) {
		s.askFrom(from, "5", questions, func(q question) bool { return q.want != noAnswer }) // far more than an answer takes, also on a busy machine
	})
	labtest.Each(s.T, from, func(from string) {
		s.askFrom(from, "0.7", questions, func(q question) bool { return q.want == noAnswer }) // what is dropped is never answered; waiting longer proves no more
	})
}

// distinctSources returns the sources of the questions, each once, in order.
func distinctSources(questions []question) []string {
	var from []string
	seen := map[string]bool{}
	for _, q := range questions {
		if !seen[q.from] {
			seen[q.from] = true
			from = append(from, q.from)
		}
	}
	return from
}

// askFrom sends those questions of one source at once that are chosen.
func (s *scene) askFrom(from, seconds string, all []question, chosen func(question) bool) {
	s.Helper()
	questions := slices.DeleteFunc(slices.Clone(all), func(q question) bool { return q.from != from || !chosen(q) })
	if len(questions) == 0 {
		return
	}
	host, prefix := s.hostAndNetns(from)
	command := prefix + "peer ask -t " + seconds
	for _, q := range questions {
		command += " " + q.to
	}
	lines := strings.Split(s.mustRun(host, command+" 2>/dev/null"), "\n")
	for i, q := range questions {
		_, got, _ := strings.Cut(lines[i], " ")
		if got != q.want && !(q.want != noAnswer && strings.HasPrefix(got+" ", q.want+" ")) {
			s.Errorf("%s asks %s: %s, want %s", from, q.to, got, q.want)
		}
	}
}

// hostAndNetns returns the host of a source, and the prefix of a command that runs in its
// namespace.
func (s *scene) hostAndNetns(from string) (*lab.Host, string) {
	if h := s.lab.Host(from); h != nil {
		return h, ""
	}
	container, name, remote := strings.Cut(from, "@")
	if !remote {
		name = "host-a"
	}
	return s.lab.Host(name), "podman exec " + container + " "
}
