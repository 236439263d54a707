/** Flags for Node's command line. */
export declare const heapFlags: readonly string[];
/** Environment variables, where the operator set none of the name. */
export declare const heapEnv: Readonly<Record<string, string>>;
