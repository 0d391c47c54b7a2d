package kernel

// DockerChain is the chain of iptables in which Docker leaves room for the administrator's rules.
const DockerChain = "DOCKER-USER"
