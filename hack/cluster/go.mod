// The local cluster. A module of its own: it is a program of its own, which needs nothing of
// this project, and the project needs nothing of it.
module mediarooms.dev/mediarooms/hack/cluster

go 1.26.0

toolchain go1.26.11

require golang.org/x/sys v0.49.0
