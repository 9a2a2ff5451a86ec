// Command echo is the pod of the cluster's own test: it answers HTTP on port
// 8080 and echoes UDP on port 9000.
package main

import (
	"log"
	"net"
	"net/http"
	"os"
)

func main() {
	packets, err := net.ListenPacket("udp", ":9000")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := packets.ReadFrom(buffer)
			if err != nil {
				log.Fatal(err)
			}
			if _, err := packets.WriteTo(buffer[:n], from); err != nil {
				log.Print(err)
			}
		}
	}()
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		host, err := os.Hostname()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if _, err := w.Write([]byte(host)); err != nil {
			log.Print(err)
		}
	})
	log.Fatal(http.ListenAndServe(":8080", nil))
}
