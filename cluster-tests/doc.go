// Package clustertests holds catalyst to its contract from the outside: real processes on loopback or in network
// namespaces, npm's capnweb as the client, and a GraphQL gateway and services that nobody here wrote. It imports nothing of
// the project, except that the benchmarks call through its transport.
//
// Every test that injects a fault also asserts that the fault took effect. Nothing waits for a fixed time: what is
// awaited is observable (/ready, status, the gateway's list), with a deadline. TestMain builds the program and installs
// the npm packages of js/ when they are missing; a run needs Go, node 20 or newer, npm, chromium for GraphiQL
// (bundled by make graphiql) and, to cut networks and break disks, root, ip of iproute2, iptables, and mount, losetup, fsfreeze and mkfs.ext4 of util-linux and e2fsprogs. What
// operators are told is held in testdata/messages (go test -update writes it); CATALYST_CORRUPTIONS=300 damages more files
// than a usual run. CATALYST_BINARY=/path/to/catalyst tests that binary instead.
package clustertests
