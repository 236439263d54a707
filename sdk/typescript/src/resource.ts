import type { Connection } from './connection.ts';
import type { Operations } from './types.ts';

/** What an operation answers. */
export type Answer<Name extends keyof Operations> = Operations[Name]['answer'];
/** What it takes in its query; iteration goes from cursor to cursor by itself. */
export type Query<Name extends keyof Operations> = Operations[Name]['query'];
/** What it takes as its body. */
export type Body<Name extends keyof Operations> = Operations[Name]['body'];

/** A part of the API, reached through a connection. */
export class Resource {
  protected readonly connection: Connection;

  constructor(connection: Connection) {
    this.connection = connection;
  }
}
