// A Kafka broker for the tests: real protocol, real sockets, its data in a folder, one node. Prints its address as one
// line of JSON when it listens.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"
)

func main() {
	port := flag.Int("port", 0, "port on 127.0.0.1; 0 = any free one")
	data := flag.String("data", "", "folder that survives a restart")
	topics := flag.String("topics", "", "topics to make, with commas between")
	partitions := flag.Int("partitions", 1, "partitions of each topic")
	user := flag.String("user", "", "mechanism:name:password; without, nobody need say who they are")
	flag.Parse()

	options := []kfake.Opt{kfake.NumBrokers(1), kfake.Ports(*port), kfake.ClusterID("posthorn-test")}
	if *topics != "" {
		options = append(options, kfake.SeedTopics(int32(*partitions), strings.Split(*topics, ",")...))
	}
	if *data != "" {
		options = append(options, kfake.DataDir(*data), kfake.SyncWrites())
	}
	if *user != "" {
		parts := strings.SplitN(*user, ":", 3)
		options = append(options, kfake.EnableSASL(), kfake.Superuser(parts[0], parts[1], parts[2]))
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]any{"addresses": cluster.ListenAddrs()}); err != nil {
		os.Exit(1)
	}

	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	<-ended
	cluster.Close()
}
