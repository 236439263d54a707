/** Flags for Node's command line. */
export declare const heapFlags: readonly string[];
